// Benchbackup takes backups of Neo4j stores of growing size while a client writes, and
// prints how long they took, how long the client had to wait, and their size.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"towline/e2e/database"
	"towline/e2e/stack"
)

func main() {
	sizes := flag.String("sizes", "100,1024", "megabytes of store, in growing order")
	runs := flag.Int("runs", 3, "backups of each size")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := bench(ctx, strings.Split(*sizes, ","), *runs); err != nil {
		fmt.Fprintln(os.Stderr, "benchbackup:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, sizes []string, runs int) (err error) {
	if err := stack.Build(ctx); err != nil {
		return err
	}
	s, err := stack.Start(ctx, stack.Options{})
	if err != nil {
		return err
	}
	defer func() {
		if cerr := s.Close(); err == nil {
			err = cerr
		}
	}()
	for _, line := range []string{"apps:create bench", "addons:create neo4j:medium -a bench"} {
		if r := s.SSH(ctx, stack.Admin, nil, line); r.Code != 0 {
			return fmt.Errorf("%s: %s", line, r)
		}
	}
	r := s.SSH(ctx, stack.Admin, nil, "config:get GRAPHENEDB_URL -a bench")
	db := database.Open(strings.TrimSpace(r.Stdout), func() (string, error) { return s.Address("neo4j-bench") })
	fmt.Println("store MB   stall ms   slowest write ms   total s   backup MB   writes")
	for _, text := range sizes {
		want, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		if err := grow(db, s, want); err != nil {
			return err
		}
		for range runs {
			if err := one(ctx, s, db); err != nil {
				return err
			}
		}
	}
	return nil
}

// grow fills the store up to a size on disk.
func grow(db *database.Database, s *stack.Stack, megabytes int) error {
	for {
		have, err := storeSize(s)
		if err != nil || have >= megabytes {
			return err
		}
		if err := db.Fill(max(1, (megabytes-have)/8)); err != nil {
			return err
		}
	}
}

func storeSize(s *stack.Stack) (megabytes int, err error) {
	dir, err := stack.Podman("volume", "inspect", s.Name+"-addon-neo4j-bench.1-data", "--format", "{{.Mountpoint}}")
	if err != nil {
		return 0, err
	}
	out, err := exec.Command("du", "-sm", strings.TrimSpace(dir)).Output()
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.Fields(string(out))[0])
}

func one(ctx context.Context, s *stack.Stack, db *database.Database) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		slowest time.Duration
		writes  int
		err     error
	}
	done := make(chan result)
	go func() {
		var r result
		for ctx.Err() == nil && r.err == nil {
			start := time.Now()
			r.err = db.Add(start.UnixNano())
			r.slowest, r.writes = max(r.slowest, time.Since(start)), r.writes+1
		}
		done <- r
	}()
	size, err := storeSize(s)
	if err != nil {
		return err
	}
	start := time.Now()
	r := s.SSH(ctx, stack.Admin, nil, "backups:capture neo4j-bench --json")
	total := time.Since(start)
	cancel()
	client := <-done
	if r.Code != 0 || client.err != nil {
		return fmt.Errorf("%s, client: %w", r, client.err)
	}
	var b struct {
		Size  int64
		Stall time.Duration
	}
	if err := json.Unmarshal([]byte(r.Stdout), &b); err != nil {
		return err
	}
	fmt.Printf("%8d %10d %18d %9.1f %11d %8d\n", size, b.Stall.Milliseconds(), client.slowest.Milliseconds(), total.Seconds(), b.Size>>20, client.writes)
	return nil
}
