package main

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"towline/e2e/stack"
)

const (
	hundredRounds = 40
	starts        = 5
)

// hundred measures what other apps cost: listings, the daemon's start, its idle time, memory.
func (b *bench) hundred() error {
	nothing, err := b.nothing()
	if err != nil {
		return err
	}
	ssh := func(line string) []string { return append(b.SSHCommand(stack.Admin), stack.Destination, line) }
	kinds := []struct {
		name string
		argv []string
	}{
		{"ssh HOST true", nothing},
		{"ssh towline@HOST ps -a bench", ssh("ps -a " + app)},
		{"ssh towline@HOST apps", ssh("apps")},
	}
	heading("of ssh HOST true")
	listings := func(apps string) error {
		took1 := make([]sample, len(kinds))
		for round := range b.times(hundredRounds) + 5 {
			for i := range kinds {
				d, err := took(b.ctx, kinds[i].argv)
				if err != nil {
					return err
				}
				if round >= 5 { // the first ones warm caches
					took1[i] = append(took1[i], d)
				}
			}
		}
		for i, k := range kinds {
			took1[i].row(k.name+", "+apps, fmt.Sprintf("%.2f", float64(took1[i].median())/float64(took1[0].median())))
		}
		return nil
	}
	if err := listings("1 app"); err != nil {
		return err
	}
	if err := b.deployMany(); err != nil {
		return err
	}
	if err := listings(fmt.Sprintf("%d apps", b.apps)); err != nil {
		return err
	}
	var begun sample
	for range starts {
		if err := b.StopDaemon(); err != nil {
			return err
		}
		start := time.Now()
		if err := b.StartDaemon(); err != nil {
			return err
		}
		begun = append(begun, time.Since(start))
	}
	begun.row(fmt.Sprintf("start of towlined until it answers, %d apps", b.apps), "goal 1000 ms")
	return b.idleCost()
}

// deployMany gives the other apps the source of the first, some at a time.
func (b *bench) deployMany() error {
	g, ctx := errgroup.WithContext(b.ctx)
	g.SetLimit(3)
	for n := 2; n <= b.apps; n++ {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			name := fmt.Sprintf("%s-%d", app, n)
			if err := b.ssh("apps:create " + name); err != nil {
				return err
			}
			return b.git("push", "-q", b.Remote(name), "main")
		})
	}
	return g.Wait()
}

// idleCost tells of processor time and memory while nobody asks for anything.
func (b *bench) idleCost() error {
	wait := func(d time.Duration) error {
		select {
		case <-time.After(d):
			return nil
		case <-b.ctx.Done():
			return b.ctx.Err()
		}
	}
	if err := wait(idle); err != nil {
		return err
	}
	before, err := b.DaemonCPU()
	if err != nil {
		return err
	}
	if err := wait(b.quiet); err != nil {
		return err
	}
	after, err := b.DaemonCPU()
	if err != nil {
		return err
	}
	daemon, proxy, err := b.Memory()
	if err != nil {
		return err
	}
	const mb = 1e6
	fmt.Println(strings.TrimSpace(fmt.Sprintf(`
Idle with %d apps: towlined takes %.2f %% of a core (goal 0.2); towlined %.1f MB, towline-proxy %.1f MB, together %.1f MB (goal 45 MB)`,
		b.apps, 100*(after-before).Seconds()/b.quiet.Seconds(), float64(daemon)/mb, float64(proxy)/mb, float64(daemon+proxy)/mb)))
	return nil
}
