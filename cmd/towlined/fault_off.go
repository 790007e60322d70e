//go:build !faults

package main

// fault is nil but in the build that the crash tests use.
var fault func(point string)
