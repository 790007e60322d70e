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

// quiet is how long writes are looked at without a backup.
const quiet = 20 * time.Second

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
	fmt.Println("| store MB | frozen ms; goal 300 | write across that ms | slowest write ms | at s | slowest with no backup ms | frozen at s | total s | backup MB | writes |")
	fmt.Println("|" + strings.Repeat(" --- |", 10))
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

// write is one that the client has made.
type write struct {
	begun time.Time
	took  time.Duration
}

// load writes until stop is called, which returns what was written.
func load(ctx context.Context, db *database.Database) (stop func() ([]write, error)) {
	ctx, cancel := context.WithCancel(ctx)
	var writes []write
	done := make(chan error)
	go func() {
		var err error
		for ctx.Err() == nil && err == nil {
			w := write{begun: time.Now()}
			err = db.Add(w.begun.UnixNano())
			w.took = time.Since(w.begun)
			writes = append(writes, w)
		}
		done <- err
	}()
	return func() ([]write, error) {
		cancel()
		err := <-done
		return writes, err
	}
}

func slowest(writes []write) (most write) {
	for _, w := range writes {
		if w.took > most.took {
			most = w
		}
	}
	return most
}

// undisturbed is how long the slowest write takes when there is no backup.
func undisturbed(ctx context.Context, db *database.Database) (time.Duration, error) {
	stop := load(ctx, db)
	select {
	case <-time.After(quiet):
	case <-ctx.Done():
	}
	writes, err := stop()
	return slowest(writes).took, err
}

func one(ctx context.Context, s *stack.Stack, db *database.Database) error {
	size, err := storeSize(s)
	if err != nil {
		return err
	}
	alone, err := undisturbed(ctx, db)
	if err != nil {
		return err
	}
	stop := load(ctx, db)
	start := time.Now()
	r := s.SSH(ctx, stack.Admin, nil, "backups:capture neo4j-bench --json")
	total := time.Since(start)
	writes, err := stop()
	if r.Code != 0 || err != nil {
		return fmt.Errorf("%s, client: %w", r, err)
	}
	var b struct {
		Size   int64
		Stall  time.Duration
		Detail struct {
			AsOf time.Time `json:"as_of"`
		}
	}
	if err := json.Unmarshal([]byte(r.Stdout), &b); err != nil {
		return err
	}
	var across time.Duration
	for _, w := range writes {
		if w.begun.Before(b.Detail.AsOf.Add(b.Stall)) && w.begun.Add(w.took).After(b.Detail.AsOf) {
			across = max(across, w.took)
		}
	}
	most := slowest(writes)
	fmt.Printf("| %d | %d | %d | %d | %.1f | %d | %.1f | %.1f | %d | %d |\n", size, b.Stall.Milliseconds(), across.Milliseconds(),
		most.took.Milliseconds(), most.begun.Sub(start).Seconds(), alone.Milliseconds(), b.Detail.AsOf.Sub(start).Seconds(), total.Seconds(), b.Size>>20, len(writes))
	return nil
}
