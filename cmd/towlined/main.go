// Towlined is Towline's daemon: state, builds, containers, add-ons and schedules.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"

	"towline/cmd/internal/config"
	"towline/cmd/internal/journal"
	"towline/daemon"
	"towline/daemon/command"
)

func main() {
	path := flag.String("config", config.DefaultPath, "configuration `file`")
	check := flag.Bool("check", false, "check the configuration and exit")
	version := flag.Bool("version", false, "show the version and exit")
	asJSON := flag.Bool("json", false, "with doctor: print JSON")
	flag.Parse()
	if *version {
		fmt.Println("towlined " + command.Version)
		return
	}
	verb := flag.Arg(0)
	if flag.NArg() > 0 && !slices.Contains([]string{"doctor", "restore"}, verb) {
		if err := chore(*path, flag.Args()); err != nil {
			fail(err)
		}
		return
	}
	file, err := config.Load(*path)
	if err == nil {
		err = checkBackup(file, *path)
	}
	if err != nil {
		fail(err)
	}
	if *check {
		fmt.Printf("%s is valid\n", *path)
		return
	}
	switch verb {
	case "doctor":
		os.Exit(examine(context.Background(), file, *asJSON, os.Stdout))
	case "restore":
		r, err := parseRestore(flag.Args()[1:])
		if err == nil {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			err = restore(ctx, file, *path, r, os.Stdout)
		}
		if err != nil {
			fail(err)
		}
		return
	}
	// The daemon is idle most of the time: a small heap matters more than the cost
	// of collecting it.
	debug.SetGCPercent(50)
	log := slog.New(journal.Handler(os.Stderr))
	slog.SetDefault(log)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	if err := serve(ctx, file, *path, log); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintf(os.Stderr, "towlined: %v\n", err)
	var e *daemon.Error
	if errors.As(err, &e) && e.Hint != "" {
		fmt.Fprintln(os.Stderr, e.Hint)
	}
	os.Exit(1)
}
