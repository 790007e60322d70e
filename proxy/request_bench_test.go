package proxy_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"syscall"
	"testing"
)

// BenchmarkRequest is one request on kept connections on both sides: time, CPU time of
// client, proxy and app together, and what it allocates.
func BenchmarkRequest(b *testing.B) {
	s := start(b)
	end := []byte("\r\n\r\n")
	answer := []byte("HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 2\r\n\r\nok")
	service := shop(rawApp(b, func(c net.Conn, _ *bufio.Reader) {
		buf := make([]byte, 4<<10)
		for n := 0; ; {
			m, err := c.Read(buf[n:])
			if err != nil {
				return
			}
			if n += m; bytes.HasSuffix(buf[:n], end) {
				c.Write(answer)
				n = 0
			}
		}
	}))
	service.Options.PlainHTTP = true
	s.deploy(service)
	c := s.dialPlain()
	request, buf := []byte("GET / HTTP/1.1\r\nHost: shop.localhost\r\nUser-Agent: bench\r\n\r\n"), make([]byte, 4<<10)
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	b.ReportAllocs()
	for b.Loop() {
		c.Write(request)
		n, err := c.Read(buf)
		for err == nil && !bytes.HasSuffix(buf[:n], []byte("ok")) {
			var m int
			m, err = c.Read(buf[n:])
			n += m
		}
		if err != nil && err != io.EOF {
			b.Fatal(err)
		}
	}
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	cpu := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(cpu)/float64(b.N), "cpu-ns/op")
}
