package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// upstream answers /1k and /100k with so many bytes and /size/N with N, takes any
// body, and echoes what comes after an upgrade: for as little CPU as it can, so that
// the machine is left to the proxies.
func upstream(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	small, large := append(answerHead(1<<10), bytes.Repeat([]byte("x"), 1<<10)...), append(answerHead(100<<10), bytes.Repeat([]byte("x"), 100<<10)...)
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			r := bufio.NewReaderSize(c, 64<<10)
			for {
				q, err := readRequest(r)
				if err != nil {
					return
				}
				if _, err := io.CopyN(io.Discard, r, q.length); err != nil {
					return
				}
				switch {
				case q.upgrade:
					if _, err := io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
						"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"); err == nil {
						_, _ = io.Copy(c, r)
					}
					return
				case q.size > 0:
					_, err = c.Write(answerHead(q.size))
					for left := q.size; left > 0 && err == nil; left -= 64 << 10 {
						_, err = c.Write(large[len(large)-min(left, 64<<10):])
					}
				case q.large:
					_, err = c.Write(large)
				default:
					_, err = c.Write(small)
				}
				if err != nil {
					return
				}
			}
		}()
	}
}

func answerHead(size int) []byte {
	return []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: %d\r\n\r\n", size))
}

// asked is what the upstream needs to know of a request.
type asked struct {
	large   bool
	size    int
	upgrade bool
	length  int64 // of the body
}

func readRequest(r *bufio.Reader) (q asked, err error) {
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return q, err
		}
		switch {
		case len(line) == 2:
			return q, nil
		case first:
			q.large = bytes.HasPrefix(line, []byte("GET /100k"))
			if rest, ok := bytes.CutPrefix(line, []byte("GET /size/")); ok {
				number, _, _ := bytes.Cut(rest, []byte(" "))
				if q.size, err = strconv.Atoi(string(number)); err != nil {
					return q, err
				}
			}
		case line[0]|0x20 == 'u' || line[0]|0x20 == 'c':
			text := strings.ToLower(string(line))
			if strings.HasPrefix(text, "upgrade:") {
				q.upgrade = true
			} else if value, ok := strings.CutPrefix(text, "content-length:"); ok {
				if q.length, err = strconv.ParseInt(strings.TrimSpace(value), 10, 64); err != nil {
					return q, err
				}
			}
		}
	}
}
