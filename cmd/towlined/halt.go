package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"towline/daemon"
	"towline/daemon/podman"
	"towline/daemon/store"
)

const (
	// haltGrace is what a process gets to end by itself.
	haltGrace = 30 * time.Second
	// haltLimit bounds it all: a Podman that does not answer must not hold up a removal.
	haltLimit = 5 * time.Minute
)

// halt leaves the machine as without Towline, but for its data: the containers of apps,
// then those of add-ons, are stopped, the firewall's tables and sshd's drop-in are gone.
func halt(ctx context.Context, m *installer) error {
	ctx, cancel := context.WithTimeout(ctx, haltLimit)
	defer cancel()
	file := m.load()
	engine, err := podman.New(ctx, podman.Options{Address: file.Podman, Name: file.Name})
	if err == nil {
		err = m.stopContainers(ctx, engine)
	}
	if err != nil {
		m.warn("containers may still run: %v; see: podman ps --filter label=towline=%s", err, file.Name)
	} else if err := engine.DropFirewall(ctx); err != nil {
		m.warn("the firewall's tables are left: %v", err)
	}
	switch err := os.Remove(m.sshdConf); {
	case err == nil:
		m.reloadSSHD(ctx)
	case !errors.Is(err, fs.ErrNotExist):
		m.warn("%v", err)
	}
	return nil
}

// stopContainers stops what begins connections before what answers them.
func (m *installer) stopContainers(ctx context.Context, engine daemon.Engine) error {
	list, err := engine.ContainerList(ctx, nil)
	if err != nil {
		return err
	}
	var errs []error
	stopped := 0
	for _, addons := range []bool{false, true} {
		var wg sync.WaitGroup
		var mu sync.Mutex
		for _, c := range list {
			if !c.Running || daemon.OnlyAnswers(c.Labels) != addons {
				continue
			}
			wg.Go(func() {
				err := engine.StopContainer(ctx, c.Name, haltGrace)
				mu.Lock()
				defer mu.Unlock()
				stopped++
				errs = append(errs, err)
			})
		}
		wg.Wait()
	}
	if stopped > 0 {
		m.say("stopped %d containers; their data is kept, and a new installation starts them again", stopped)
	}
	return errors.Join(errs...)
}

// checkState tells whether this version can take the state over, without touching it: an
// upgrade restarts the daemon only then.
func checkState(ctx context.Context, m *installer) error {
	file := m.load()
	return store.Rehearse(ctx, filepath.Join(file.State, "towline.db"))
}
