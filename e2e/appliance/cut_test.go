package appliance

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

// powerCut ends the guest in the middle of pushes, each time at another point of one, while
// a client writes to Redis. It then is the old or the new, what Redis had acknowledged is
// there but for the last moment, and everything serves.
func (s *story) powerCut() {
	cuts := 5
	if s.m.Slowness() > 1 {
		cuts = 2
	}
	start := time.Now()
	s.deploy("cut-0")
	took := time.Since(start)
	for n := 1; n <= cuts; n++ {
		next, list := fmt.Sprintf("cut-%d", n), fmt.Sprintf("list-%d", n)
		ctx, cancel := context.WithCancel(s.t.Context())
		writes := s.write(ctx, list)
		time.Sleep(redisMayLose + time.Second)
		var push sync.WaitGroup
		push.Go(func() { _, _ = s.push(ctx, next) })
		after := took * time.Duration(n) / time.Duration(cuts)
		time.Sleep(after)
		cut := time.Now()
		err := s.m.Cut(s.t.Context())
		cancel()
		push.Wait()
		s.must(err)

		back := time.Now()
		before := s.serves
		s.serves = s.waitEither(before, next)
		s.waitFleet(time.Minute)
		s.t.Logf("cut %.1f s into a push: %s in place of %s; all answer %.1f s after SSH", after.Seconds(), s.serves, before, time.Since(back).Seconds())
		s.waitRunning()
		s.addonsFirst()
		s.closedInside()
		s.written(list, writes, cut)
		if out := s.root("systemctl is-system-running --wait || systemctl --failed --no-legend"); strings.TrimSpace(out) != "running" {
			s.t.Errorf("after the cut: %s", out)
		}
	}
	s.deploy("three")
	s.settle()
}

// waitEither waits until shop's page is one of both, and returns which.
func (s *story) waitEither(old, next string) string {
	s.t.Helper()
	client := s.client()
	var body string
	var err error
	for end := time.Now().Add(s.m.Slowness() * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if body, err = get(client, "https://"+s.host+"/"); err != nil {
			continue
		}
		for _, v := range []string{old, next} {
			if strings.Contains(body, "version="+v+"\n") {
				return v
			}
		}
		s.t.Fatalf("the page is neither %s nor %s: %q", old, next, body)
	}
	s.t.Fatalf("no page: %q, %v", body, err)
	return ""
}

// writes are the moments at which Redis has acknowledged one more element of a list.
type writes struct {
	mu  sync.Mutex
	at  []time.Time
	err error
}

// write appends to a list in Redis, one element after the other, until ctx ends, and
// returns once the first is there.
func (s *story) write(ctx context.Context, list string) *writes {
	s.t.Helper()
	w := new(writes)
	in, commands := io.Pipe()
	answers, out := io.Pipe()
	go func() {
		err := s.m.Pipe(ctx, "towline", s.key, in, out, io.Discard, "addons:console redis-shop")
		_ = in.CloseWithError(io.EOF)
		_ = out.CloseWithError(fmt.Errorf("the console has ended: %w", err))
	}()
	first := make(chan struct{})
	go func() {
		err := w.append(commands, bufio.NewReader(answers), list, sync.OnceFunc(func() { close(first) }))
		w.mu.Lock()
		w.err = err
		w.mu.Unlock()
	}()
	select {
	case <-first:
	case <-time.After(s.m.Slowness() * 20 * time.Second):
		w.mu.Lock()
		defer w.mu.Unlock()
		s.t.Fatalf("Redis takes nothing: %v", w.err)
	}
	return w
}

func (w *writes) append(commands io.Writer, answers *bufio.Reader, list string, first func()) error {
	for n := 1; ; n++ {
		if _, err := fmt.Fprintf(commands, "RPUSH %s %d\n", list, n); err != nil {
			return err
		}
		line, err := answers.ReadString('\n')
		if err != nil {
			return err
		}
		if got, err := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(line), "(integer) ")); err != nil || got != n {
			return fmt.Errorf("element %d was answered with %q", n, line)
		}
		w.mu.Lock()
		w.at = append(w.at, time.Now())
		w.mu.Unlock()
		first()
	}
}

// redisMayLose is what Redis, which syncs its log every second, may lose in a power cut of
// what it has acknowledged.
const redisMayLose = 2 * time.Second

// written wants the list to be what was written, in order, without a gap, and no shorter
// than was acknowledged redisMayLose before the cut.
func (s *story) written(list string, w *writes, cut time.Time) {
	s.t.Helper()
	out, err := s.m.SSH(s.t.Context(), "towline", s.key, "LRANGE "+list+" 0 -1\n", "addons:console redis-shop")
	s.must(err)
	there := strings.Fields(out)
	w.mu.Lock()
	defer w.mu.Unlock()
	safe := 0
	for _, at := range w.at {
		if at.Before(cut.Add(-redisMayLose)) {
			safe++
		}
	}
	s.t.Logf("Redis had acknowledged %d writes, %d of them %s before the cut, and has %d", len(w.at), safe, redisMayLose, len(there))
	if len(there) < safe || len(there) > len(w.at)+1 {
		s.t.Errorf("Redis has %d writes of %d, %d of them old; %v", len(there), len(w.at), safe, w.err)
	}
	for i, element := range there {
		if element != strconv.Itoa(i+1) {
			s.t.Fatalf("element %d is %s", i+1, element)
		}
	}
}
