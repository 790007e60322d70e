// Package journeys holds tests alone, of what users can do as a whole: on the real store and
// the real vault, and stand-ins of Podman and the proxy that are held to what the real ones
// do. The daemon is killed at every step of the journal, and each call to a neighbour goes
// wrong once, in every way; what comes of it is as docs/architecture.md says. Time is not
// real, so the longest wait takes no time.
package journeys
