package proxy

import (
	"fmt"
	"testing"
	"time"

	"towline/proxy/control"
	"towline/proxy/message"
)

func routeTo(n int) *service {
	return &service{spec: control.Service{Name: fmt.Sprint(n), Hosts: []string{fmt.Sprintf("app%d.example.com", n)}}}
}

// The cost of a swap must not grow with the number of routes.
func TestSwapCostsTheSameAmongThousandRoutes(t *testing.T) {
	cost := func(routes int) time.Duration {
		table := newTable()
		for i := range routes {
			table.replace(nil, routeTo(i))
		}
		a, b := table.routed("app3.example.com"), routeTo(3)
		best := time.Hour
		for range 20 {
			start := time.Now()
			for range 200 {
				table.replace(a, b)
				a, b = b, a
			}
			best = min(best, time.Since(start)/200)
		}
		return best
	}
	few, many := cost(10), cost(1000)
	t.Logf("among 10: %v, among 1000: %v", few, many)
	if many > 4*few {
		t.Errorf("a swap among 1000 routes takes %v, among 10 %v", many, few)
	}
}

func TestTableFindsExactNamesBeforeWildcards(t *testing.T) {
	table := newTable()
	exact, wild := routeTo(1), &service{spec: control.Service{Hosts: []string{"*.example.com"}}}
	table.replace(nil, wild)
	table.replace(nil, exact)
	for name, want := range map[string]*service{
		"app1.example.com": exact, "x.example.com": wild, "example.com": nil, "a.x.example.com": nil, "": nil, ".example.com": nil,
	} {
		if got := table.find(name); got != want {
			t.Errorf("%q: %p, want %p", name, got, want)
		}
	}
	table.replace(wild, nil)
	if table.find("x.example.com") != nil || table.root.Load().wildcards != 0 {
		t.Error("the wildcard is still there")
	}
	if n := testing.AllocsPerRun(100, func() { table.find("app1.example.com") }); n != 0 {
		t.Errorf("%v allocations a lookup", n)
	}
}

// FuzzHead: no head makes the parser fail, and what it accepts is unambiguous.
func FuzzHead(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"))
	f.Add([]byte("POST http://a/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var h message.Head
		if err := h.ParseRequest(data); err != nil {
			return
		}
		if h.Chunked && h.Length >= 0 {
			t.Error("two framings")
		}
		for _, f := range h.Fields {
			if !message.All(f.Name, &message.TokenChar) || !message.All(f.Value, &message.ValueChar) {
				t.Errorf("field %q: %q", f.Name, f.Value)
			}
		}
	})
}
