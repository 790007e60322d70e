package memory_test

import (
	"errors"
	"sync"
	"testing"

	"towline/daemon"
	"towline/daemon/contract"
	"towline/daemon/memory"
)

func TestRouter(t *testing.T) {
	contract.Router(t, func(*testing.T) contract.RouterBench {
		var answers sync.Map
		r := memory.NewRouter(func(t daemon.Target) error {
			if _, ok := answers.Load(t.ID); !ok {
				return errors.New("nothing listens")
			}
			return nil
		})
		return contract.RouterBench{Router: r, Request: r.Request,
			Target: func(_ *testing.T, id string) (daemon.Target, func()) {
				return daemon.Target{ID: id, Address: id + ":5000"}, func() { answers.Store(id, true) }
			}}
	})
}
