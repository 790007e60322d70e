// Demo pushes the Rails example to a Towline of its own, step by step as a user would,
// and serves it until Ctrl-C. With CHECK=1 it checks, says what each step took, and
// removes everything it made.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"towline/e2e/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Getenv("CHECK") == "1"); err != nil {
		fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, check bool) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("run this as root: it starts containers")
	}
	d := &demo{ctx: ctx, began: time.Now()}
	dir := os.Getenv("DIR")
	if dir == "" {
		dir = "/var/tmp/towline-demo"
	}
	err = d.step("start towlined, towline-proxy and sshd", func() (err error) {
		d.Stack, err = stack.Start(ctx, stack.Options{Dir: dir, HTTPPort: 8080, HTTPSPort: 8443, SSHPort: 2222})
		return err
	})
	if err != nil {
		return err
	}
	defer func() {
		cleaned := d.step("clean up", func() error { return d.cleanUp(check) })
		err = errors.Join(err, cleaned)
		if check {
			d.table()
		}
	}()
	if err := d.prepare(); err != nil {
		return err
	}
	if err := d.journey(); err != nil {
		return err
	}
	d.explain()
	if !check {
		fmt.Println("\nCtrl-C ends it and removes everything.")
		<-ctx.Done()
	}
	return nil
}
