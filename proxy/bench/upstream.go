package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strings"
)

// upstream answers GET /1k and /100k with so many bytes, for as little CPU as
// it can, so that the machine is left to the proxies.
func upstream(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	answer := func(size int) []byte {
		head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: %d\r\n\r\n", size)
		return append([]byte(head), bytes.Repeat([]byte("x"), size)...)
	}
	small, large := answer(1<<10), answer(100<<10)
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			r := bufio.NewReader(c)
			for {
				out := small
				for first := true; ; first = false {
					line, err := r.ReadSlice('\n')
					if err != nil {
						return
					}
					if first && strings.HasPrefix(string(line), "GET /100k") {
						out = large
					}
					if len(line) == 2 {
						break
					}
				}
				if _, err := c.Write(out); err != nil {
					return
				}
			}
		}()
	}
}
