package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"towline/e2e/stack"
)

// plain measures what no change over SSH can do without, on the same machine in the same run:
// `ssh HOST true`, and `podman run` of the image that the app is made from until it answers.
type plain struct {
	b       *bench
	nothing []string // ssh HOST true
	network string

	ssh, run sample
}

// plainAddress is in a network of its own.
const plainAddress, plainSubnet = "10.231.213.9", "10.231.213.0/24"

func (b *bench) newPlain() (*plain, error) {
	nothing, err := b.nothing()
	if err != nil {
		return nil, err
	}
	p := &plain{b: b, nothing: nothing, network: b.Name + "-plain"}
	// The label has the stack remove it.
	_, err = stack.Podman("network", "create", "--label", "towline="+b.Name, "--subnet", plainSubnet, p.network)
	return p, err
}

func (p *plain) once() error {
	d, err := took(p.b.ctx, p.nothing)
	if err != nil {
		return err
	}
	p.ssh = append(p.ssh, d)
	ctx, cancel := context.WithTimeout(p.b.ctx, time.Minute)
	defer cancel()
	answered := make(chan time.Duration, 1)
	start := time.Now()
	go func() {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: 100 * time.Millisecond}).DialContext}}
		for ctx.Err() == nil {
			// Whoever answers at an address that nobody has yet says something else.
			if body, err := page(client, "http://"+plainAddress+":5000/env/PORT"); err == nil && body == "5000\n" {
				answered <- time.Since(start)
				return
			}
			time.Sleep(2 * time.Millisecond)
		}
		answered <- 0
	}()
	name := p.network + "-app"
	_, err = stack.Podman("run", "-d", "--name", name, "--label", "towline="+p.b.Name, "--network", p.network, "--ip", plainAddress,
		"--init", "--cap-drop", "all", "-e", "PORT=5000", "localhost/towline/testapp:1", "testapp")
	if err != nil {
		return err
	}
	if d = <-answered; d == 0 {
		return fmt.Errorf("the container of podman run never answered")
	}
	p.run = append(p.run, d)
	_, err = stack.Podman("rm", "-f", "-t", "0", name)
	return err
}

// of is a time beside ssh HOST true and podman run together.
func (p *plain) of(d time.Duration) string {
	return fmt.Sprintf("%.2f", float64(d)/float64(p.ssh.median()+p.run.median()))
}
