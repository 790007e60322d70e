package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"

	"towline/proxy"
)

// hostileTime is how long good and hostile clients work beside each other. For an
// hour of it, with the timeouts of a proxy that serves: TOWLINE_HOSTILE=1h go test -race -timeout 2h ./proxy -run HostileLoad
const hostileTime = 8 * time.Second

// patience is how long a good exchange may take: longer than any timeout of the proxy's, so that
// one that was lost is told from one on a busy machine.
const patience = 3 * time.Minute

// TestHostileLoad has clients that keep the rules, clients that break them in every
// way we know, and an app that does, at the same time. No good request fails, nothing
// panics, and all that was taken for it is given back.
func TestHostileLoad(t *testing.T) {
	length := hostileTime
	if text := os.Getenv("TOWLINE_HOSTILE"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, func(o *proxy.Options) {
		o.Log, o.AccessLogSize = nil, 1<<30
		if length <= hostileTime {
			// Far beyond what a good client may be held up for on a busy machine.
			o.HeaderTimeout, o.KeepAlive, o.UploadGrace = 15*time.Second, 15*time.Second, 15*time.Second
		}
	})
	s.deploy(shop(addr(app(t, goodApp))))
	rpc := grpcShop(grpcServer(t).address)
	rpc.Name, rpc.Hosts = "rpc", []string{"rpc.localhost"}
	s.deploy(rpc)
	bad := service("bad", rawApp(t, badApp), "bad.localhost")
	bad.Options.ResponseTimeout, bad.Options.IdleTimeout = time.Second, time.Second
	s.deploy(bad)

	// Once before, so that what is made on first use is there.
	good := newGoodClients(s)
	for name, work := range good.kinds {
		if err := work(aMinute(t)); err != nil {
			t.Fatalf("before any load: %s: %v", name, err)
		}
	}
	good.close()
	before := s.inUse()

	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var wg sync.WaitGroup
	good = newGoodClients(s)
	var fine atomic.Int64
	slowest := map[string]*atomic.Int64{} // of each kind, a time.Duration
	failures := make(chan error, 100)
	for name, work := range good.kinds {
		longest := new(atomic.Int64)
		slowest[name] = longest
		for range 2 {
			wg.Go(func() {
				for ctx.Err() == nil {
					began := time.Now()
					within, done := context.WithTimeout(context.Background(), patience)
					err := work(within)
					done()
					if took := time.Since(began); int64(took) > longest.Load() {
						longest.Store(int64(took))
					}
					if err == nil {
						fine.Add(1)
						continue
					}
					select {
					case failures <- fmt.Errorf("%s: %w", name, err):
					default:
					}
					return
				}
			})
		}
	}
	var attacks atomic.Int64
	for _, name := range slices.Sorted(maps.Keys(hostile)) {
		wg.Go(func() {
			for ctx.Err() == nil {
				hostile[name](ctx, s)
				attacks.Add(1)
				select { // each has its turn, on two cores with everything else
				case <-ctx.Done():
				case <-time.After(20 * time.Millisecond):
				}
			}
		})
	}
	wg.Wait()
	good.close()
	close(failures)
	for err := range failures {
		t.Error(err)
	}
	if t.Failed() {
		s.refusals("shop", "rpc")
	}
	t.Logf("%d good exchanges, %d hostile ones", fine.Load(), attacks.Load())
	for _, name := range slices.Sorted(maps.Keys(slowest)) {
		t.Logf("%s: at most %s", name, time.Duration(slowest[name].Load()).Round(time.Millisecond))
	}
	if fine.Load() == 0 || attacks.Load() == 0 {
		t.Error("nothing happened")
	}
	var after inUse
	deadline := time.Now().Add(2 * time.Minute) // kept connections have ended by then
	for after = s.inUse(); !after.near(before) && time.Now().Before(deadline); after = s.inUse() {
		time.Sleep(100 * time.Millisecond)
	}
	if !after.near(before) {
		buf := make([]byte, 1<<20)
		t.Errorf("in use before: %+v, after: %+v\n%s", before, after, buf[:runtime.Stack(buf, true)])
	}
}

// refusals logs what the proxy said of each exchange that it failed itself, but for what
// the client did wrong.
func (s *stand) refusals(services ...string) {
	s.t.Helper()
	time.Sleep(time.Second) // lines are gathered before they are written
	for _, name := range services {
		lines, err := os.ReadFile(filepath.Join(s.options.AccessLog, name+".log"))
		if err != nil {
			s.t.Error(err)
		}
		for line := range strings.Lines(string(lines)) {
			if strings.Contains(line, " at=error ") && strings.Contains(line, " status=50") {
				s.t.Log(strings.TrimSpace(line))
			}
		}
	}
}

// inUse is what this process holds: the proxy, and the clients and apps of the test.
type inUse struct {
	goroutines, descriptors int
	heap                    uint64 // bytes
}

func (s *stand) inUse() inUse {
	runtime.GC()
	runtime.GC() // what pools hold goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		s.t.Fatal(err)
	}
	return inUse{runtime.NumGoroutine(), len(list), m.HeapAlloc}
}

// near allows for idle workers, kept connections to apps, and what tests keep.
func (u inUse) near(before inUse) bool {
	return u.goroutines <= before.goroutines+80 && u.descriptors <= before.descriptors+30 && u.heap <= before.heap+16<<20
}

// goodApp echoes uploads and WebSockets, and tells of events.
func goodApp(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/socket":
		echoSocket(w, r)
	case "/events":
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 5 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			time.Sleep(5 * time.Millisecond)
		}
	case "/large":
		b := make([]byte, 64<<10)
		for range 32 {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	default:
		echoBody(w, r)
	}
}

// badApp serves its probes and one more request on a connection, badly.
func badApp(c net.Conn, r *bufio.Reader) {
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	const sound = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	if req.Header.Get("User-Agent") == "towline-health" {
		io.WriteString(c, sound)
		return
	}
	c.SetDeadline(time.Now().Add(3 * time.Second))
	switch rand.IntN(8) {
	case 0: // dies
	case 1: // hangs, and never reads
		time.Sleep(1500 * time.Millisecond)
	case 2: // late bytes
		io.WriteString(c, sound)
		time.Sleep(10 * time.Millisecond)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
		io.Copy(io.Discard, r)
	case 3: // half an answer
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
	case 4: // half an answer, and silence
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
		io.Copy(io.Discard, r)
	case 5: // rubbish
		io.WriteString(c, "\x00\x01rubbish\r\n\r\n")
	case 6: // an answer before the request was read
		io.WriteString(c, sound)
	case 7: // resets
		c.(*net.TCPConn).SetLinger(0)
	}
}

// goodClients keep the rules: each kind makes one exchange and says what was wrong.
type goodClients struct {
	kinds map[string]func(ctx context.Context) error
	http  []*http.Client
	rpc   *grpc.ClientConn
}

func newGoodClients(s *stand) *goodClients {
	h1, h2 := s.newClient(false), s.newClient(true)
	g := &goodClients{http: []*http.Client{h1, h2}, rpc: s.dialGRPCAt("rpc.localhost")}
	config := s.tlsConfig()
	config.ServerName = "shop.localhost"
	g.kinds = map[string]func(ctx context.Context) error{
		"upload, HTTP/1.1": func(ctx context.Context) error { return uploadTo(ctx, h1, shopURL, randomBytes(rand.IntN(200_000))) },
		"upload, HTTP/2":   func(ctx context.Context) error { return uploadTo(ctx, h2, shopURL, randomBytes(rand.IntN(200_000))) },
		"download, HTTP/1.1": func(ctx context.Context) error {
			return download(ctx, h1, shopURL+"large", 2<<20)
		},
		"download, HTTP/2": func(ctx context.Context) error { return download(ctx, h2, shopURL+"large", 2<<20) },
		"events":           func(ctx context.Context) error { return download(ctx, h2, shopURL+"events", 45) },
		"WebSocket":        func(ctx context.Context) error { return socket(ctx, s.HTTPSAddr(), config) },
		"gRPC":             func(ctx context.Context) error { return grpcChat(ctx, g.rpc, randomBytes(10_000), randomBytes(10)) },
		"new connection": func(ctx context.Context) error {
			c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: config,
				DialContext: h1.Transport.(*http.Transport).DialContext}}
			return uploadTo(ctx, c, shopURL, randomBytes(100))
		},
	}
	return g
}

func (g *goodClients) close() {
	for _, c := range g.http {
		c.CloseIdleConnections()
	}
	g.rpc.Close()
}

// download expects so many bytes.
func download(ctx context.Context, c *http.Client, url string, want int64) error {
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return err
	}
	res, err := c.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if err == nil && (res.StatusCode != 200 || n != want) {
		err = fmt.Errorf("status %d, %d bytes of %d", res.StatusCode, n, want)
	}
	return err
}

// socket exchanges messages through a WebSocket.
func socket(ctx context.Context, address string, config *tls.Config) error {
	raw, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(patience))
	io.WriteString(raw, "GET /socket HTTP/1.1\r\nHost: shop.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(raw)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	if res.StatusCode != 101 {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	if _, err := io.ReadFull(r, make([]byte, len("hello"))); err != nil {
		return err
	}
	began, slowest := time.Now(), time.Duration(0)
	for i := range 20 {
		sent, message := time.Now(), randomBytes(1+rand.IntN(5000))
		if _, err := raw.Write(message); err != nil {
			return err
		}
		got := make([]byte, len(message))
		if n, err := io.ReadFull(r, got); err != nil { // slow, or lost?
			return fmt.Errorf("message %d, %d bytes of %d after %s, those before took %s, the slowest %s: %w",
				i, n, len(message), time.Since(sent), sent.Sub(began), slowest, err)
		}
		if !bytes.Equal(got, message) {
			return errors.New("the echo differs")
		}
		slowest = max(slowest, time.Since(sent))
	}
	return nil
}

// attackTime bounds one hostile connection.
const attackTime = 3 * time.Second

// rawAttack opens a TLS connection, or a plain one, for a few seconds at most.
func rawAttack(ctx context.Context, s *stand, secure bool, protocol string) net.Conn {
	var c net.Conn
	var err error
	if secure {
		config := s.tlsConfig()
		config.ServerName, config.NextProtos = "shop.localhost", []string{protocol}
		c, err = (&tls.Dialer{Config: config, NetDialer: &net.Dialer{Timeout: attackTime}}).DialContext(ctx, "tcp", s.HTTPSAddr())
	} else {
		c, err = (&net.Dialer{Timeout: attackTime}).DialContext(ctx, "tcp", s.HTTPSAddr())
	}
	if err != nil {
		return nil
	}
	c.SetDeadline(time.Now().Add(attackTime))
	return c
}

// frames makes an attack of what is sent on an HTTP/2 connection; what comes back is
// read and dropped, unless deaf.
func frames(deaf bool, send func(c *h2Conn)) func(context.Context, *stand) {
	return func(ctx context.Context, s *stand) {
		raw := rawAttack(ctx, s, true, "h2")
		if raw == nil {
			return
		}
		defer raw.Close()
		c := &h2Conn{raw.(*tls.Conn), http2.NewFramer(raw, raw)}
		c.framer.AllowIllegalWrites = true
		c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		io.WriteString(raw, http2.ClientPreface)
		if c.framer.WriteSettings() != nil {
			return
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if !deaf {
				io.Copy(io.Discard, raw)
			}
		}()
		send(c)
		raw.Close()
		<-done
	}
}

// each repeats for odd streams.
func each(n int, f func(c *h2Conn, id uint32) error) func(c *h2Conn) {
	return func(c *h2Conn) {
		for id := uint32(1); id < uint32(2*n); id += 2 {
			if f(c, id) != nil {
				return
			}
		}
	}
}

// text makes an attack of bytes, sent in pieces with a pause between.
func text(secure bool, pause time.Duration, pieces ...string) func(context.Context, *stand) {
	return func(ctx context.Context, s *stand) {
		c := rawAttack(ctx, s, secure, "http/1.1")
		if c == nil {
			return
		}
		defer c.Close()
		for _, p := range pieces {
			if _, err := io.WriteString(c, p); err != nil {
				return
			}
			time.Sleep(pause)
		}
		io.Copy(io.Discard, io.LimitReader(c, 1<<20))
	}
}

const shopHead = "POST / HTTP/1.1\r\nHost: shop.localhost\r\n"

// hostile are the attacks, each one connection.
var hostile = map[string]func(ctx context.Context, s *stand){
	"rapid reset": frames(false, each(400, func(c *h2Conn, id uint32) error {
		return errors.Join(c.get(id), c.framer.WriteRSTStream(id, http2.ErrCodeCancel))
	})),
	"reset of uploads": frames(false, each(100, func(c *h2Conn, id uint32) error {
		c.post(id)
		return errors.Join(c.framer.WriteData(id, false, make([]byte, 1000)), c.framer.WriteRSTStream(id, http2.ErrCodeCancel))
	})),
	"made you reset: windows": frames(false, each(400, func(c *h2Conn, id uint32) error {
		return errors.Join(c.get(id), c.framer.WriteWindowUpdate(id, 0))
	})),
	"made you reset: overflow": frames(false, each(400, func(c *h2Conn, id uint32) error {
		return errors.Join(c.get(id), c.framer.WriteWindowUpdate(id, 1<<31-1))
	})),
	"made you reset: data after the end": frames(false, each(400, func(c *h2Conn, id uint32) error {
		return errors.Join(c.get(id), c.framer.WriteData(id, true, []byte("x")))
	})),
	"made you reset: another length": frames(false, each(400, func(c *h2Conn, id uint32) error {
		c.post(id, [2]string{"content-length", "3"})
		return c.framer.WriteData(id, true, []byte("hello world"))
	})),
	"CONTINUATION": frames(false, func(c *h2Conn) {
		c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers(nil)})
		for c.framer.WriteContinuation(1, false, literal("x", strings.Repeat("y", 100))) == nil {
		}
	}),
	"CONTINUATION, empty": frames(false, func(c *h2Conn) {
		c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers(nil)})
		for c.framer.WriteContinuation(1, false, nil) == nil {
		}
	}),
	"SETTINGS": frames(true, func(c *h2Conn) {
		for c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: rand.Uint32N(1 << 31)}) == nil {
		}
	}),
	"PING": frames(true, func(c *h2Conn) {
		for c.framer.WritePing(false, [8]byte{}) == nil {
		}
	}),
	"no increment": frames(false, func(c *h2Conn) { c.framer.WriteWindowUpdate(0, 0) }),
	"empty DATA": frames(false, func(c *h2Conn) {
		c.post(1)
		for c.framer.WriteData(1, false, nil) == nil {
		}
	}),
	"padding": frames(false, func(c *h2Conn) {
		c.post(1)
		for c.framer.WriteDataPadded(1, false, nil, make([]byte, 255)) == nil {
		}
	}),
	"PRIORITY": frames(false, func(c *h2Conn) {
		for c.framer.WritePriority(rand.Uint32N(1<<31-1)|1, http2.PriorityParam{Weight: 9}) == nil {
		}
	}),
	"HPACK bomb": frames(false, func(c *h2Conn) {
		// A field of 4 KB in the table, then named by a byte ten thousand times.
		block := append([]byte{0x40, 1, 'x', 0x7f, 0xa1, 0x1e}, bytes.Repeat([]byte("y"), 4000)...)
		c.blockOf(1, append(withPseudo(), block...)...)
		for id := uint32(3); id < 40; id += 2 {
			c.blockOf(id, append(withPseudo(), bytes.Repeat([]byte{0xbe}, 10_000)...)...)
		}
	}),
	"rubbish blocks": frames(false, func(c *h2Conn) { c.blockOf(1, randomBytes(100)...) }),
	"rubbish frames": frames(false, func(c *h2Conn) { c.Write(randomBytes(10_000)) }),
	"never reads": frames(true, func(c *h2Conn) {
		c.framer.WriteWindowUpdate(0, 1<<30)
		each(100, func(c *h2Conn, id uint32) error { return c.get(id, [2]string{":path!", "/large"}) })(c)
		time.Sleep(attackTime / 2)
	}),
	"beyond the windows": frames(false, func(c *h2Conn) {
		c.post(1, [2]string{":authority!", "bad.localhost"})
		for c.framer.WriteData(1, false, make([]byte, 16<<10)) == nil {
		}
	}),
	"h2, the bad app": frames(false, each(50, func(c *h2Conn, id uint32) error { return c.get(id, [2]string{":authority!", "bad.localhost"}) })),

	"a silent client":       text(true, attackTime),
	"a slow head":           text(true, 200*time.Millisecond, strings.Split(shopHead, "")...),
	"a slow body":           text(true, 200*time.Millisecond, append([]string{shopHead + "Content-Length: 1000\r\n\r\n"}, strings.Split(strings.Repeat("x", 20), "")...)...),
	"a body that ends":      text(true, 0, shopHead+"Content-Length: 1000\r\n\r\nsome"),
	"a huge head":           text(true, 0, shopHead, strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 300)),
	"a head that is bad":    text(true, 0, shopHead+"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
	"chunks that are bad":   text(true, 0, shopHead+"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nx\r\n"),
	"chunks that are odd":   text(true, 0, shopHead+"Transfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nX: y\r\n\n"),
	"pipelined, unread":     text(true, attackTime/3, strings.Repeat("GET /large HTTP/1.1\r\nHost: shop.localhost\r\n\r\n", 200)),
	"a list of names":       text(true, 0, shopHead+"Connection: "+strings.Repeat("a,", 20_000)+"\r\nContent-Length: 0\r\n\r\n"),
	"HTTP/1.1, the bad app": text(true, 50*time.Millisecond, "GET / HTTP/1.1\r\nHost: bad.localhost\r\n\r\n", "POST / HTTP/1.1\r\nHost: bad.localhost\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", 50_000)),
	"no TLS":                text(false, 0, "GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n"),
	"a TLS record, in part": text(false, attackTime/2, "\x16\x03\x01\x02\x00\x01\x00\x01"),
	"a port scan":           text(false, 0),
	"a handshake given up": func(ctx context.Context, s *stand) {
		c := rawAttack(ctx, s, false, "")
		if c == nil {
			return
		}
		defer c.Close()
		config := s.tlsConfig()
		config.ServerName = "shop.localhost"
		// It ends with the ClientHello, or in the middle of the answer.
		_ = tls.Client(&cutOff{c, 1 + rand.IntN(2)}, config).Handshake()
	},
	"a socket that does not read": func(ctx context.Context, s *stand) {
		c := rawAttack(ctx, s, true, "http/1.1")
		if c == nil {
			return
		}
		defer c.Close()
		io.WriteString(c, "GET /socket HTTP/1.1\r\nHost: shop.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		for {
			if _, err := c.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	},
}

// cutOff takes part in so many writes.
type cutOff struct {
	net.Conn
	writes int
}

func (c *cutOff) Write(b []byte) (int, error) {
	if c.writes--; c.writes < 0 {
		return 0, io.ErrClosedPipe
	}
	return c.Conn.Write(b)
}

func (c *cutOff) Read(b []byte) (int, error) {
	if c.writes <= 0 {
		b = b[:min(len(b), 100)]
		c.writes--
	}
	if c.writes < -3 {
		return 0, io.ErrClosedPipe
	}
	return c.Conn.Read(b)
}
