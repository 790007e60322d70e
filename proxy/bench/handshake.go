package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"slices"
)

// shake makes n connections to a proxy, one after the other, each for a handshake
// alone, and returns the proxy's CPU time for each in microseconds. The key exchange
// is X25519, the best that nginx of Debian 12 offers.
func shake(p *process, n int, resumed bool) (float64, error) {
	config := &tls.Config{ServerName: "bench.localhost", InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519}}
	address := fmt.Sprint("127.0.0.1:", p.port)
	if resumed {
		// The ticket arrives with the first answer.
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		c, err := tls.Dial("tcp", address, config)
		if err != nil {
			return 0, err
		}
		_, _ = io.WriteString(c, "GET /1k HTTP/1.1\r\nHost: bench.localhost\r\nConnection: close\r\n\r\n")
		_, err = io.ReadAll(c)
		_ = c.Close()
		if err != nil {
			return 0, err
		}
	}
	before := p.cpu()
	for range n {
		c, err := tls.Dial("tcp", address, config)
		if err != nil {
			return 0, err
		}
		if c.ConnectionState().DidResume != resumed {
			return 0, fmt.Errorf("resumed: %v, want %v", !resumed, resumed)
		}
		_ = c.Close()
	}
	return float64((p.cpu() - before).Microseconds()) / float64(n), nil
}

// handshakes compares full and resumed ones, in turns.
func (b *bench) handshakes(proxies map[string]*process) error {
	fmt.Printf("### TLS handshakes\n\n| proxy | full, CPU us | resumed, CPU us |\n| --- | --- | --- |\n")
	figures := map[string][2][]float64{}
	for round := range b.rounds + 1 {
		for _, name := range b.names {
			f := figures[name]
			for kind, resumed := range []bool{false, true} {
				us, err := shake(proxies[name], b.shakes, resumed)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				if round > 0 { // the first warms up
					f[kind] = append(f[kind], us)
				}
			}
			figures[name] = f
		}
	}
	middle := func(name string, kind int) float64 {
		list := slices.Sorted(slices.Values(figures[name][kind]))
		if len(list) == 0 {
			return 0
		}
		return list[len(list)/2]
	}
	for _, name := range b.names {
		fmt.Printf("| %s | %s | %s |\n", name, ratio(middle(name, 0), middle("nginx", 0), 0), ratio(middle(name, 1), middle("nginx", 1), 0))
	}
	fmt.Println()
	return nil
}
