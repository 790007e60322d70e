// Package message reads and writes HTTP/1.x messages and the frames of HTTP/2.
// It knows nothing of the proxy, of connections or of time, so that the parsers,
// which face the internet, can be tested and fuzzed alone.
//
// It is strict: whatever two readers could take for two things is an error.
package message
