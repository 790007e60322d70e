package main

import (
	"os/exec"
	"slices"
	"testing"
	"time"
)

// BenchmarkSSH compares a command with `ssh HOST true` on the same sshd. The two
// take turns, so that what else the machine does falls on both.
func BenchmarkSSH(b *testing.B) {
	h := newHost(b)
	h.command("", "go", "build", "-ldflags", "-s -w", "-o", h.dir+"/towline-shell", ".")
	took := map[string][]time.Duration{}
	once := func(key, line string) {
		cmd := exec.Command("ssh", append(h.sshArgsOf(key), h.user+"@127.0.0.1", line)...)
		start := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		took[key] = append(took[key], time.Since(start))
	}
	for b.Loop() {
		once("plain", "true")
		once("alice", "ps")
	}
	median := func(key string) float64 {
		slices.Sort(took[key])
		return float64(took[key][len(took[key])/2]) / float64(time.Millisecond)
	}
	b.ReportMetric(median("plain"), "ms/true")
	b.ReportMetric(median("alice"), "ms/command")
	b.ReportMetric(median("alice")/median("plain"), "ratio")
	b.ReportMetric(0, "ns/op")
}
