package main

import (
	"context"
	"net"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"time"

	"towline/proxy"
	"towline/proxy/control"
)

// profile writes a CPU profile of a proxy in this process under every kind of
// load: what cmd/towline-proxy/default.pgo is made with.
func (b *bench) profile(file string) error {
	defer b.stop()
	if err := b.startUpstream(); err != nil {
		return err
	}
	debug.SetGCPercent(400)
	p, err := proxy.Start(proxy.Options{HTTPS: "127.0.0.1:0", State: b.path("state"), AccessLog: b.path("log")})
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	if err := p.Deploy(context.Background(), control.Service{Name: "bench", Hosts: []string{"bench.localhost"}, Targets: []control.Target{{ID: "web.1", Address: b.address}}}); err != nil {
		return err
	}
	a, err := net.ResolveTCPAddr("tcp", p.HTTPSAddr())
	if err != nil {
		return err
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := pprof.StartCPUProfile(out); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	for _, s := range scenarios() {
		length := b.length
		if s.path != "/1k" {
			length /= 3
		}
		if s.logging {
			if _, err := b.load(&process{port: a.Port, cmd: self()}, s, max(length, time.Second), 0); err != nil {
				return err
			}
		}
	}
	return nil
}
