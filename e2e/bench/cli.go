package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"towline/e2e/stack"
)

const (
	cliRounds = 100
	idle      = 20 * time.Second // before memory is read
)

// commands measures commands over SSH beside `ssh HOST true` on the same machine, by
// turns, and then what daemon and proxy keep in memory.
func (b *bench) commands() error {
	nothing, err := b.nothing()
	if err != nil {
		return err
	}
	client := filepath.Join(b.Dir, "bin", "towline")
	host := fmt.Sprintf("%s:%d", stack.Destination, b.SSHPort)
	ssh := b.SSHCommand(stack.Admin)
	if err := os.Setenv("TOWLINE_SSH", strings.Join(ssh, " ")); err != nil {
		return err
	}
	kinds := []struct {
		name string
		argv []string
		took sample
	}{
		{name: "ssh HOST true", argv: nothing},
		{name: "ssh towline@HOST version", argv: slices.Concat(ssh, []string{stack.Destination, "version"})},
		{name: "ssh towline@HOST ps -a bench", argv: slices.Concat(ssh, []string{stack.Destination, "ps -a bench"})},
		{name: "ssh towline@HOST config -a bench", argv: slices.Concat(ssh, []string{stack.Destination, "config -a bench"})},
		{name: "towline ps -a bench", argv: []string{client, "--host", host, "ps", "-a", "bench"}},
	}
	for round := range b.times(cliRounds) + 5 {
		for i := range kinds {
			d, err := took(b.ctx, kinds[i].argv)
			if err != nil {
				return err
			}
			if round >= 5 { // the first ones warm caches
				kinds[i].took = append(kinds[i].took, d)
			}
		}
	}
	heading("of ssh HOST true; goal 1.05")
	for _, k := range kinds {
		k.took.row(k.name, fmt.Sprintf("%.2f", float64(k.took.median())/float64(kinds[0].took.median())))
	}
	return b.memory()
}

// memory is told after a while without requests, with the one app running.
func (b *bench) memory() error {
	select {
	case <-time.After(idle):
	case <-b.ctx.Done():
		return b.ctx.Err()
	}
	daemon, proxy, err := b.Memory()
	if err != nil {
		return err
	}
	const mb = 1e6
	fmt.Printf("\nIdle memory with one app: towlined %.1f MB, towline-proxy %.1f MB, together %.1f MB; goal 45 MB\n",
		float64(daemon)/mb, float64(proxy)/mb, float64(daemon+proxy)/mb)
	return nil
}
