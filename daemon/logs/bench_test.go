package logs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"towline/daemon"
	"towline/daemon/logs"
)

// BenchmarkTail reads the last 100 lines of an app with 100 MB of log.
func BenchmarkTail(b *testing.B) {
	l := logs.New(logs.Options{Dir: b.TempDir()})
	line := stamp(1) + " stdout F " + strings.Repeat("x", 100) + "\n"
	text := []byte(strings.Repeat(line, 5<<20/len(line)))
	for i := range 20 {
		if err := os.WriteFile(l.ContainerPath("shop", "web."+string(rune('a'+i))), text, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		n := 0
		err := l.Read(b.Context(), daemon.LogQuery{App: "shop", Lines: 100}, func(daemon.LogLine) error { n++; return nil })
		if err != nil || n != 100 {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	l := logs.New(logs.Options{Dir: filepath.Join(b.TempDir(), "apps")})
	for b.Loop() {
		l.Write("shop", "build", "build", "Installing a dependency of the app")
	}
}
