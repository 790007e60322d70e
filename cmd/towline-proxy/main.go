// towline-proxy stands between the network and the apps. It is configured by the
// [proxy] and [tls] tables of towline.toml and told what to serve over its
// control socket, by towlined.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"towline/cmd/internal/config"
	"towline/cmd/internal/idle"
	"towline/cmd/internal/journal"
	"towline/cmd/internal/watchdog"
	"towline/proxy"
	"towline/proxy/control"
)

// version is set by the build.
var version = "dev"

// stopBudget bounds how long requests in flight may go on after a stop.
const stopBudget = 30 * time.Second

func main() {
	err := run(os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "towline-proxy:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("towline-proxy", flag.ContinueOnError)
	flags.SetOutput(stderr)
	path := flags.String("config", config.DefaultPath, "configuration `file`")
	check := flags.Bool("check", false, "check the configuration and exit")
	reload := flags.Bool("reload", false, "have the proxy that runs hand over to the installed program, and exit once that serves")
	showVersion := flags.Bool("version", false, "print the version and exit")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *showVersion {
		fmt.Fprintln(stdout, "towline-proxy", version)
		return nil
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; try towline-proxy --help", flags.Arg(0))
	}
	file, err := config.Load(*path)
	if err != nil {
		return err
	}
	log := slog.New(logHandler(stderr))
	options, err := proxyOptions(file, log)
	if err != nil {
		return fmt.Errorf("%s: %w", *path, err)
	}
	if *check {
		fmt.Fprintln(stdout, "configuration is valid")
		return nil
	}
	if *reload {
		return askReload(file.Proxy.Control)
	}
	return serve(options, time.Duration(file.Proxy.Drain), log)
}

// reloadLimit bounds a hand-over with all that it waits for.
const reloadLimit = 140 * time.Second

// askReload has the proxy at the control socket hand over.
func askReload(socket string) error {
	ctx, cancel := context.WithTimeout(context.Background(), reloadLimit)
	defer cancel()
	client := control.NewClient(socket)
	return errors.Join(client.HandOver(ctx), client.Close())
}

// logHandler is the journal's where stderr leads there.
func logHandler(stderr io.Writer) slog.Handler {
	if f, ok := stderr.(*os.File); ok {
		return journal.Handler(f)
	}
	return slog.NewTextHandler(stderr, nil)
}

// serve runs until SIGTERM or SIGINT; SIGUSR2, or a call on the control socket, hands the
// listeners to a new process of the same program. Then this one ends once its last request
// and WebSocket have, or after drain.
func serve(options proxy.Options, drain time.Duration, log *slog.Logger) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR2)
	if err := takeListeners(&options); err != nil {
		return err
	}
	tuneGC()
	options.Quiet = giveBack
	options.HandOver = func(p *proxy.Proxy) error { return handOver(p, log) }
	p, err := proxy.Start(options)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }() // after Shutdown there is nothing left to fail
	log.Info("serving", "http", p.HTTPAddr(), "https", p.HTTPSAddr(), "control", p.ControlAddr(), "metrics", p.MetricsAddr())
	ready()
	stopDogging := watchdog.Start()
	defer stopDogging()
	finish, budget, stopping := p.Shutdown, stopBudget, true
	for waiting := true; waiting; {
		select {
		case sig := <-signals:
			waiting = sig == syscall.SIGUSR2
			if waiting {
				go func() {
					if err := p.HandOver(context.Background()); err != nil {
						log.Error("listeners were not handed over; serving on", "error", err)
					}
				}()
			}
		case <-p.HandedOver():
			stopDogging() // the new process says for both that all is well
			finish, budget, stopping, waiting = p.Finish, drain, false, false
		}
	}
	if stopping {
		_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
	}
	log.Info("stopping: requests in flight finish", "at most", budget)
	ctx, cancel := context.WithTimeout(context.Background(), budget)
	defer cancel()
	go func() {
		<-signals
		cancel() // asked twice: now
	}()
	if err := finish(ctx); err != nil {
		log.Warn("stopped", "error", err)
	}
	return nil
}

// garbageBudget is how much garbage, in bytes, may gather before it is collected.
const garbageBudget = 96 << 20

// tuneGC lets garbage grow to tens of megabytes before it is collected: the
// default would collect a small heap many times a second under load. With many
// connections the heap is large, and a fixed percentage of it would be too much,
// so the percentage follows. GOGC and GOMEMLIMIT have their usual meaning.
func tuneGC() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	last := int64(400)
	debug.SetGCPercent(int(last))
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	afterEachGC(func() {
		metrics.Read(samples)
		live := int64(samples[0].Value.Uint64()+samples[1].Value.Uint64()) + 1<<20
		if percent := min(400, max(25, garbageBudget*100/live)); percent != last {
			debug.SetGCPercent(int(percent))
			last = percent
		}
	})
}

// worthGivingBack is from how many bytes on memory that nobody uses goes back to the
// machine: to collect garbage costs time.
const worthGivingBack = 4 << 20

// giveBack is for a proxy that has nothing to do: what a burst of requests or the change of
// many routes left behind it holds for the next one no longer, nor the pages of its own program.
func giveBack() {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	held := -int64(samples[0].Value.Uint64())
	for _, s := range samples[1:] {
		held += int64(s.Value.Uint64())
	}
	if held > worthGivingBack {
		debug.FreeOSMemory()
	}
	idle.ReleaseProgram()
}

// afterEachGC calls f after every collection of garbage, never twice at once: what is
// to follow the heap need not look at a clock, which a quiet proxy would wake up for.
func afterEachGC(f func()) {
	type mark struct{ _ *int } // not of the tiny allocator's, which keeps objects alive together
	runtime.AddCleanup(&mark{}, func(struct{}) {
		f()
		afterEachGC(f)
	}, struct{}{})
}
