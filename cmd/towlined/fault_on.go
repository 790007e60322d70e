//go:build faults

package main

import (
	"os"
	"syscall"
)

// fault ends the daemon as kill -9 does at the recorded step that TOWLINE_CRASH_AT
// names, like "deploy:swap" or "deploy:swap:done". See daemon/journal.go.
var fault = func(point string) {
	if point == os.Getenv("TOWLINE_CRASH_AT") {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
