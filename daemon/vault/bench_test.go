package vault

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkFrozenPass is what a service stands still for, beside the pause itself: of a
// store of 1 GB in four files all were written to, a few blocks each.
func BenchmarkFrozenPass(b *testing.B) {
	src, dst := b.TempDir(), b.TempDir()
	block := make([]byte, 1<<20)
	r := rand.NewChaCha8([32]byte{1})
	var files []*os.File
	for _, name := range []string{"nodes", "properties", "relationships", "log"} {
		f, err := os.Create(filepath.Join(src, name))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		for range 256 {
			_, _ = r.Read(block)
			if _, err := f.Write(block); err != nil {
				b.Fatal(err)
			}
		}
		files = append(files, f)
	}
	m := (&Vault{}).Mirror(map[string]string{src: dst})
	if _, err := m.Pass(b.Context(), false); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		for _, f := range files {
			for range 50 {
				if _, err := f.WriteAt(block[:8<<10], rand.Int64N(255<<20)); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.StartTimer()
		if _, err := m.Pass(b.Context(), true); err != nil {
			b.Fatal(err)
		}
	}
}
