package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
)

// A connection that has asked once with a large head keeps no more than another.
func TestIdleConnectionsKeepNoLargeHead(t *testing.T) {
	const connections, most = 40, 32 << 10
	s := start(t)
	s.deploy(plainShop(addr(app(t, says("ok")))))
	head := "GET / HTTP/1.1\r\nHost: shop.localhost\r\n" + strings.Repeat("x-filled: "+strings.Repeat("y", 40)+"\r\n", 900) + "\r\n"
	before := heapInUse()
	for range connections {
		c := s.dialPlain()
		io.WriteString(c, head)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		if res.StatusCode != 200 {
			t.Fatal(res.Status)
		}
	}
	var each int64
	until(t, fmt.Sprintf("at most %d bytes for each", most), func() bool {
		each = (heapInUse() - before) / connections
		return each <= most
	})
	t.Logf("%d bytes for each", each)
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // what was pooled goes only now
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A field takes eight times the memory of the four bytes that it can be sent with.
func TestAHeadHasABoundedNumberOfFields(t *testing.T) {
	s := start(t)
	s.deploy(plainShop(addr(app(t, says("ok")))))
	for n, want := range map[int]int{990: 200, 1001: 431, 60_000: 431} {
		c := s.dialPlain()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\n"+strings.Repeat("a:\r\n", n)+"\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != want {
			t.Errorf("HTTP/1.1, %d fields: %d, not %d", n, res.StatusCode, want)
		}
	}
	for n, want := range map[int]string{990: "status 200", 1001: "status 431"} {
		fields := make([][2]string, n)
		for i := range fields {
			fields[i] = [2]string{"a", ""}
		}
		if got := s.h2Raw(t, fields); got != want {
			t.Errorf("HTTP/2, %d fields: %s, not %s", n, got, want)
		}
	}
}
