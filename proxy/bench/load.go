package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// result is one round.
type result struct {
	cpu      float64 // microseconds a request
	rate     float64 // requests a second
	p50, p99 float64 // milliseconds
}

// load runs h2load against p, as fast as it goes: 32 requests at a time, on 32
// connections with HTTP/1.1, on 8 with h2. With a pace it sends so many a second.
func (b *bench) load(p *process, s scenario, length time.Duration, pace int) (result, error) {
	logFile := b.path("latency")
	_ = os.Remove(logFile)
	args := []string{"-t", "1", "-D", strconv.Itoa(int(length.Seconds())), "--connect-to", fmt.Sprint("127.0.0.1:", p.port), "--log-file", logFile}
	clients := 8
	if s.protocol == "h1" {
		clients = 32
		args = append(args, "--h1")
	} else {
		args = append(args, "-m", "4")
	}
	args = append(args, "-c", strconv.Itoa(clients))
	if pace > 0 {
		args = append(args, "--rps", strconv.Itoa(pace/clients))
	}
	args = append(args, fmt.Sprintf("https://bench.localhost:%d%s", p.port, s.path))
	before := p.cpu()
	out, err := exec.Command("h2load", args...).CombinedOutput()
	used := p.cpu() - before
	if err != nil {
		return result{}, fmt.Errorf("h2load: %w: %s", err, out)
	}
	if !strings.Contains(string(out), " 0 failed, 0 errored, 0 timeout") {
		return result{}, fmt.Errorf("requests failed: %s", out)
	}
	return read(logFile, used, length)
}

// read takes h2load's log: start, status and microseconds of each request.
func read(path string, used, length time.Duration) (result, error) {
	f, err := os.Open(path)
	if err != nil {
		return result{}, err
	}
	defer f.Close()
	var times []int
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		parts := strings.Fields(lines.Text())
		if len(parts) != 3 || parts[1] != "200" {
			return result{}, fmt.Errorf("unexpected answer: %q", lines.Text())
		}
		n, err := strconv.Atoi(parts[2])
		if err != nil {
			return result{}, err
		}
		times = append(times, n)
	}
	if len(times) == 0 {
		return result{}, fmt.Errorf("no request was answered")
	}
	slices.Sort(times)
	n := len(times)
	return result{
		cpu:  float64(used.Microseconds()) / float64(n),
		rate: float64(n) / length.Seconds(),
		p50:  float64(times[n/2]) / 1000,
		p99:  float64(times[n*99/100]) / 1000,
	}, lines.Err()
}

// median is that of each figure.
func median(list []result) result {
	if len(list) == 0 {
		return result{}
	}
	of := func(figure func(result) float64) float64 {
		values := make([]float64, len(list))
		for i, r := range list {
			values[i] = figure(r)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return result{
		cpu:  of(func(r result) float64 { return r.cpu }),
		rate: of(func(r result) float64 { return r.rate }),
		p50:  of(func(r result) float64 { return r.p50 }),
		p99:  of(func(r result) float64 { return r.p99 }),
	}
}
