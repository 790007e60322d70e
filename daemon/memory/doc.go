// Package memory has stand-ins of Podman and of the proxy for fast tests of what is built
// on them. They keep all in memory, run functions in place of programs, and pass the same
// suite as the real ones: see daemon/contract. Both are worlds that outlive a daemon, so a
// test can end one in the middle of something and start another on what it left; calls that
// fail are the business of daemon/faults.
package memory
