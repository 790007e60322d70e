package stack

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// perClient is the time from one request of a client to its next: constant load that
// leaves a machine of two processors some room for what is measured.
const perClient = 10 * time.Millisecond

// Load asks an app for pages at a constant rate, each on a connection of its own, from
// several clients, until it is stopped.
type Load struct {
	cancel  context.CancelFunc
	workers sync.WaitGroup
	total   atomic.Int64

	mu       sync.Mutex
	failures []string
	slowest  time.Duration
	seen     map[string]int // bodies, by content
}

// LoadReport is what came of it.
type LoadReport struct {
	Total    int64
	Failures []string // each with its time and cause; at most 20
	Failed   int
	Slowest  time.Duration
	Seen     map[string]int // how often each body was the answer
}

// StartLoad sends requests for a page from n clients. Anything but status 200 is a
// failure.
func (s *Stack) StartLoad(app, path string, n int) (*Load, error) {
	client, err := s.Client(false)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &Load{cancel: cancel, seen: map[string]int{}}
	for range n {
		l.workers.Go(func() {
			next := time.NewTicker(perClient)
			defer next.Stop()
			for ctx.Err() == nil {
				l.once(client, s.URL(app, path))
				<-next.C
			}
		})
	}
	return l, nil
}

// once makes one request, to its end: stopping never counts as a failure.
func (l *Load) once(client *http.Client, url string) {
	start := time.Now()
	body, err := fetch(client, url)
	took := time.Since(start)
	l.total.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowest = max(l.slowest, took)
	if err != nil {
		l.failures = append(l.failures, fmt.Sprintf("%s after %s: %v", start.UTC().Format("15:04:05.000"), took.Round(time.Millisecond), err))
		return
	}
	l.seen[body]++
}

func fetch(client *http.Client, url string) (string, error) {
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", resp.Status, text)
	}
	return string(text), err
}

// Total is the number of requests made so far.
func (l *Load) Total() int64 { return l.total.Load() }

// Stop lets the requests under way finish and reports.
func (l *Load) Stop() LoadReport {
	l.cancel()
	l.workers.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return LoadReport{
		Total: l.total.Load(), Failed: len(l.failures), Failures: l.failures[:min(20, len(l.failures))],
		Slowest: l.slowest, Seen: l.seen,
	}
}
