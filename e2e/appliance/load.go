package appliance

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/websocket"
)

// Load is what good clients do, until it is stopped: pages on kept connections and on new
// ones, uploads that take a second, WebSockets that say something every 100 ms.
type Load struct {
	host, address string
	config        *tls.Config
	cancel        context.CancelFunc
	clients       sync.WaitGroup
	Requests      atomic.Int64
	Uploads       atomic.Int64
	Messages      atomic.Int64
	Sockets       int64 // WebSockets that stayed open all the time

	mu       sync.Mutex
	failures []string
}

// StartLoad begins n clients of each kind at the app's host.
func StartLoad(host, address string, config *tls.Config, n int) (*Load, error) {
	ctx, cancel := context.WithCancel(context.Background())
	l := &Load{host: host, address: address, config: config.Clone(), cancel: cancel}
	l.config.ServerName = host
	for range n {
		ws, err := l.socket()
		if err != nil {
			cancel()
			l.clients.Wait()
			return nil, err
		}
		l.Sockets++
		l.clients.Go(func() { l.chat(ctx, ws) })
	}
	for i := range n {
		kept, fresh := l.client(true), l.client(false)
		l.clients.Go(func() { l.each(ctx, 20*time.Millisecond*time.Duration(1+i), func() error { return l.page(kept) }) })
		l.clients.Go(func() { l.each(ctx, 50*time.Millisecond, func() error { return l.page(fresh) }) })
		l.clients.Go(func() { l.each(ctx, 10*time.Millisecond, func() error { return l.upload(fresh) }) })
	}
	return l, nil
}

// Stop ends the clients, and tells what failed.
func (l *Load) Stop() (failures []string) {
	l.cancel()
	l.clients.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failures
}

func (l *Load) fail(what string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, fmt.Sprintf("%s %s: %v", time.Now().UTC().Format("15:04:05.000"), what, err))
}

func (l *Load) each(ctx context.Context, pause time.Duration, do func() error) {
	for ctx.Err() == nil {
		if err := do(); err != nil {
			l.fail("request", err)
			time.Sleep(200 * time.Millisecond)
		}
		time.Sleep(pause)
	}
}

func (l *Load) client(keep bool) *http.Client {
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		TLSClientConfig: l.config, DisableKeepAlives: !keep,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, network, l.address)
		},
	}}
}

func (l *Load) page(c *http.Client) error {
	l.Requests.Add(1)
	res, err := c.Get("https://" + l.host + "/")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != 200 {
		err = fmt.Errorf("%s: %.100s", res.Status, body)
	}
	return err
}

// upload takes a second over 256 KiB, and wants all of it back.
func (l *Load) upload(c *http.Client) error {
	l.Uploads.Add(1)
	sent := sha256.New()
	r, w := io.Pipe()
	go func() {
		block := make([]byte, 16<<10)
		for range 16 {
			for i := range block {
				block[i] = byte(rand.IntN(256))
			}
			sent.Write(block)
			if _, err := w.Write(block); err != nil {
				return
			}
			time.Sleep(60 * time.Millisecond)
		}
		w.Close()
	}()
	res, err := c.Post("https://"+l.host+"/echo", "application/octet-stream", r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	got := sha256.New()
	if _, err := io.Copy(got, res.Body); err != nil {
		return err
	}
	if res.StatusCode != 200 || string(got.Sum(nil)) != string(sent.Sum(nil)) {
		return fmt.Errorf("%s, and not what was sent", res.Status)
	}
	return nil
}

func (l *Load) socket() (*websocket.Conn, error) {
	raw, err := net.DialTimeout("tcp", l.address, 10*time.Second)
	if err != nil {
		return nil, err
	}
	at := &url.URL{Scheme: "wss", Host: l.host, Path: "/ws"}
	conn := tls.Client(raw, l.config)
	ws, err := websocket.NewClient(&websocket.Config{Location: at, Origin: &url.URL{Scheme: "https", Host: l.host}, Version: websocket.ProtocolVersionHybi13}, conn)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return ws, nil
}

// chat says something and wants it back, as long as the WebSocket is to live.
func (l *Load) chat(ctx context.Context, ws *websocket.Conn) {
	defer ws.Close()
	r := bufio.NewReader(ws)
	for n := 0; ctx.Err() == nil; n++ {
		line := fmt.Sprintf("message %d\n", n)
		_ = ws.SetDeadline(time.Now().Add(30 * time.Second))
		if _, err := io.WriteString(ws, line); err != nil {
			l.fail("WebSocket", err)
			return
		}
		got, err := r.ReadString('\n')
		if err != nil || !strings.HasSuffix(got, line) {
			l.fail("WebSocket", fmt.Errorf("%q, %v", got, err))
			return
		}
		l.Messages.Add(1)
		time.Sleep(100 * time.Millisecond)
	}
}
