package store_test

import (
	"path/filepath"
	"testing"

	"towline/daemon"
	"towline/daemon/store"
)

// BenchmarkUpdate is one step of the journal, fsync included.
func BenchmarkUpdate(b *testing.B) {
	s, op := benchStore(b)
	for b.Loop() {
		if err := s.Update(b.Context(), func(tx daemon.Tx) error { return tx.UpdateOperation(op) }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkView(b *testing.B) {
	s, _ := benchStore(b)
	for b.Loop() {
		err := s.View(b.Context(), func(tx daemon.Tx) error {
			_, err := tx.App("shop")
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func benchStore(b *testing.B) (*store.Store, daemon.Operation) {
	b.Helper()
	s, err := store.Open(b.Context(), filepath.Join(b.TempDir(), "towline.db"), make([]byte, store.KeySize))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	op := daemon.Operation{Kind: "deploy", Subject: "shop", Step: "build", Data: []byte(`{"version":1}`)}
	err = s.Update(b.Context(), func(tx daemon.Tx) error {
		return all(tx.InsertApp(daemon.App{Name: "shop", Config: map[string]string{"A": "1"}}), tx.InsertOperation(&op))
	})
	if err != nil {
		b.Fatal(err)
	}
	return s, op
}
