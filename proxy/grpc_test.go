package proxy_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"towline/proxy/control"
)

// bytesCodec takes messages as they are: *[]byte.
type bytesCodec struct{}

func (bytesCodec) Name() string                  { return "bytes" }
func (bytesCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (bytesCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(data)
	return nil
}

// echoServer is a gRPC server with a method of each kind, and some that fail.
type echoServer struct {
	*grpc.Server
	address string
	ended   chan error // of calls to Wait: why their context ended
}

func grpcServer(t testing.TB) *echoServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &echoServer{address: l.Addr().String(), ended: make(chan error, 100)}
	s.Server = grpc.NewServer(grpc.ForceServerCodec(bytesCodec{}), grpc.UnknownServiceHandler(s.handle), grpc.MaxRecvMsgSize(64<<20))
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return s
}

func (s *echoServer) handle(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.Method(stream.Context())
	receive := func() (message []byte, err error) { return message, stream.RecvMsg(&message) }
	send := func(message []byte) error { return stream.SendMsg(&message) }
	switch method {
	case "/echo/Unary":
		message, err := receive()
		if err != nil {
			return err
		}
		in, _ := metadata.FromIncomingContext(stream.Context())
		_ = stream.SetHeader(metadata.MD{"seen": in["asked"], "seen-bin": in["asked-bin"]})
		stream.SetTrailer(metadata.Pairs("last", "word"))
		return send(message)
	case "/echo/Sum": // client stream
		sum := sha256.New()
		for {
			message, err := receive()
			if err == io.EOF {
				return send(sum.Sum(nil))
			}
			if err != nil {
				return err
			}
			sum.Write(message)
		}
	case "/echo/Repeat": // server stream
		message, err := receive()
		for i := 0; i < 100 && err == nil; i++ {
			err = send(message)
		}
		return err
	case "/echo/Chat": // both ways
		for {
			message, err := receive()
			if err == io.EOF {
				return nil
			}
			if err == nil {
				err = send(message)
			}
			if err != nil {
				return err
			}
		}
	case "/echo/Wait":
		if err := stream.SendHeader(metadata.Pairs("begun", "yes")); err != nil {
			return err
		}
		_, timed := stream.Context().Deadline()
		<-stream.Context().Done()
		if !timed && stream.Context().Err() == context.DeadlineExceeded {
			s.ended <- errors.New("a deadline that nobody set")
		} else {
			s.ended <- stream.Context().Err()
		}
		return stream.Context().Err()
	case "/echo/Fail":
		return status.Error(codes.FailedPrecondition, "not today: ü, 100 %")
	case "/echo/FailLate":
		message, err := receive()
		if err == nil {
			err = send(message)
		}
		if err != nil {
			return err
		}
		return status.Error(codes.DataLoss, "half of it")
	}
	return status.Error(codes.Unimplemented, method)
}

// grpcShop is shop with targets that speak h2c.
func grpcShop(targets ...string) control.Service {
	service := shop(targets...)
	for i := range service.Targets {
		service.Targets[i].H2C = true
	}
	return service
}

// dialGRPC is a client of its own connection to the proxy.
func (s *stand) dialGRPC() *grpc.ClientConn { return s.dialGRPCAt("shop.localhost") }

func (s *stand) dialGRPCAt(host string) *grpc.ClientConn {
	s.t.Helper()
	c, err := grpc.NewClient("passthrough:///"+host,
		grpc.WithTransportCredentials(credentials.NewTLS(s.tlsConfig())),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", s.HTTPSAddr())
		}),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(bytesCodec{}), grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

func aMinute(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// chatting opens a stream both ways.
func chatting(ctx context.Context, c *grpc.ClientConn, method string) (grpc.ClientStream, error) {
	return c.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/echo/"+method)
}

// grpcCall makes one call, with what it gets.
func grpcCall(ctx context.Context, c *grpc.ClientConn, method string, message []byte, o ...grpc.CallOption) ([]byte, error) {
	var answer []byte
	err := c.Invoke(ctx, "/echo/"+method, &message, &answer, o...)
	return answer, err
}

// grpcSum sends messages as a client stream, and checks their sum.
func grpcSum(ctx context.Context, c *grpc.ClientConn, messages ...[]byte) error {
	stream, err := chatting(ctx, c, "Sum")
	if err != nil {
		return err
	}
	want := sha256.New()
	for _, m := range messages {
		want.Write(m)
		if err := stream.SendMsg(&m); err != nil {
			return fmt.Errorf("send: %w", stream.RecvMsg(&[]byte{}))
		}
	}
	var got []byte
	if err := errors.Join(stream.CloseSend(), stream.RecvMsg(&got)); err != nil {
		return err
	}
	if !bytes.Equal(got, want.Sum(nil)) {
		return errors.New("the app got other bytes")
	}
	return nil
}

// grpcChat sends each message and expects it back.
func grpcChat(ctx context.Context, c *grpc.ClientConn, messages ...[]byte) error {
	stream, err := chatting(ctx, c, "Chat")
	if err != nil {
		return err
	}
	var got []byte
	for _, m := range messages {
		if err := stream.SendMsg(&m); err != nil {
			return fmt.Errorf("send: %w", stream.RecvMsg(&got))
		}
		if err := stream.RecvMsg(&got); err != nil {
			return err
		}
		if !bytes.Equal(got, m) {
			return errors.New("the echo differs")
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if err := stream.RecvMsg(&got); err != io.EOF {
		return fmt.Errorf("at the end: %v", err)
	}
	return nil
}

// grpcRepeat asks for a message a hundred times.
func grpcRepeat(ctx context.Context, c *grpc.ClientConn, message []byte) error {
	stream, err := chatting(ctx, c, "Repeat")
	if err == nil {
		err = errors.Join(stream.SendMsg(&message), stream.CloseSend())
	}
	for n := 0; err == nil; n++ {
		var got []byte
		if err = stream.RecvMsg(&got); err == io.EOF && n == 100 {
			return nil
		}
		if err == nil && !bytes.Equal(got, message) {
			return errors.New("the echo differs")
		}
	}
	return err
}

// randomBytes are n bytes that nobody else has.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(rand.Int()), byte(rand.Int()), byte(rand.Int()), byte(rand.Int())}).Read(b)
	return b
}

func TestGRPCOfEachKind(t *testing.T) {
	s := start(t)
	s.deploy(grpcShop(grpcServer(t).address))
	c, ctx := s.dialGRPC(), aMinute(t)
	var header, trailer metadata.MD
	asked := metadata.NewOutgoingContext(ctx, metadata.Pairs("asked", "one", "asked", "two", "asked-bin", "\x00\xff"))
	got, err := grpcCall(asked, c, "Unary", []byte("hello"), grpc.Header(&header), grpc.Trailer(&trailer))
	if err != nil || string(got) != "hello" {
		t.Fatalf("unary: %q %v", got, err)
	}
	if fmt.Sprint(header["seen"], header["seen-bin"], trailer["last"]) != "[one two] [\x00\xff] [word]" {
		t.Errorf("metadata: header %v, trailer %v", header, trailer)
	}
	if got, err := grpcCall(ctx, c, "Unary", nil); err != nil || len(got) != 0 {
		t.Errorf("empty: %q %v", got, err)
	}
	large := randomBytes(5 << 20)
	if got, err := grpcCall(ctx, c, "Unary", large); err != nil || !bytes.Equal(got, large) {
		t.Errorf("large: %d bytes, %v", len(got), err)
	}
	if err := grpcSum(ctx, c, randomBytes(1), randomBytes(70_000), randomBytes(300_000)); err != nil {
		t.Errorf("client stream: %v", err)
	}
	if err := grpcRepeat(ctx, c, randomBytes(20_000)); err != nil {
		t.Errorf("server stream: %v", err)
	}
	if err := grpcChat(ctx, c, randomBytes(1), randomBytes(100_000), randomBytes(10)); err != nil {
		t.Errorf("both ways: %v", err)
	}
}

func TestGRPCErrors(t *testing.T) {
	s := start(t)
	s.deploy(grpcShop(grpcServer(t).address))
	c, ctx := s.dialGRPC(), aMinute(t)
	_, err := grpcCall(ctx, c, "Fail", []byte("x"))
	if got := status.Convert(err); got.Code() != codes.FailedPrecondition || got.Message() != "not today: ü, 100 %" {
		t.Errorf("got %v", err)
	}
	if _, err := grpcCall(ctx, c, "Nothing", []byte("x")); status.Code(err) != codes.Unimplemented {
		t.Errorf("no such method: %v", err)
	}
	stream, err := chatting(ctx, c, "FailLate")
	if err != nil {
		t.Fatal(err)
	}
	got := []byte("half")
	if err := errors.Join(stream.SendMsg(&got), stream.RecvMsg(&got)); err != nil || string(got) != "half" {
		t.Fatalf("before the error: %q %v", got, err)
	}
	if err := stream.RecvMsg(&got); status.Code(err) != codes.DataLoss {
		t.Errorf("late: %v", err)
	}
}

// An answer that is all head arrives as one: END_STREAM on HEADERS.
func TestGRPCAnswersThatAreAllHead(t *testing.T) {
	s := start(t)
	s.deploy(grpcShop(grpcServer(t).address))
	c := s.dialH2()
	c.writeRequest(1, true, [][2]string{{":method!", "POST"}, {":path!", "/echo/Fail"}, {"content-type", "application/grpc"}, {"te", "trailers"}})
	if got := c.answerOf(1); got.status != "200" || got.fields["grpc-status"] != "9" || got.frames != 1 || got.fields["content-length"] != "" {
		t.Errorf("got %+v", got)
	}
}

func TestGRPCDeadlineAndCancelReachTheApp(t *testing.T) {
	s := start(t)
	a := grpcServer(t)
	s.deploy(grpcShop(a.address))
	c := s.dialGRPC()
	wait := func(ctx context.Context, begun func()) error {
		stream, err := chatting(ctx, c, "Wait")
		if err != nil {
			return err
		}
		if _, err := stream.Header(); err != nil {
			return err
		}
		begun()
		var got []byte
		return stream.RecvMsg(&got)
	}
	ended := func() error {
		select {
		case err := <-a.ended:
			return err
		case <-time.After(time.Minute):
			return errors.New("the app still waits")
		}
	}
	// Long enough for the call to begin; if not, there is nothing to see.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	begun := false
	if err := wait(ctx, func() { begun = true }); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("deadline: the client got %v", err)
	}
	if begun {
		// Whoever is first: the app by its clock, or the client's reset.
		if err := ended(); err != context.DeadlineExceeded && err != context.Canceled {
			t.Errorf("deadline: the app got %v", err)
		}
	}
	ctx, cancel = context.WithCancel(aMinute(t))
	if err := wait(ctx, cancel); status.Code(err) != codes.Canceled {
		t.Errorf("cancel: the client got %v", err)
	}
	if err := ended(); err != context.Canceled {
		t.Errorf("cancel: the app got %v", err)
	}
}

// The response timeout is the app's, not the client's: while the request is under
// way it does not count, nor once the answer has begun.
func TestGRPCStreamsLongerThanTheResponseTimeout(t *testing.T) {
	s := start(t)
	service := grpcShop(grpcServer(t).address)
	service.Options.ResponseTimeout = 100 * time.Millisecond
	s.deploy(service)
	stream, err := chatting(aMinute(t), s.dialGRPC(), "Chat")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		<-time.After(5 * service.Options.ResponseTimeout)
		message := []byte("still here")
		if err := errors.Join(stream.SendMsg(&message), stream.RecvMsg(&message)); err != nil {
			t.Fatal(err)
		}
	}
}

// A stream in which one side alone speaks is not idle.
func TestGRPCClientThatOnlyListens(t *testing.T) {
	s := start(t)
	last := make(chan bool)
	a := h2cApp(t, func(c *h2Target) {
		id := c.request()
		c.writeAnswer(id, false, "200", nil)
		for {
			select {
			case <-last:
				c.framer.WriteData(id, true, []byte("end"))
				return
			case <-time.After(50 * time.Millisecond):
				c.framer.WriteData(id, false, []byte("more"))
			}
		}
	})
	service := grpcShop(a)
	service.Options.IdleTimeout = time.Second
	s.deploy(service)
	c := s.dialH2()
	c.writeRequest(1, false, [][2]string{{":method!", "POST"}})
	go func() {
		<-time.After(3 * service.Options.IdleTimeout)
		close(last)
	}()
	if got := c.answerOf(1); got.end != "" || !strings.HasSuffix(got.body, "end") {
		t.Errorf("the stream broke off: %q after %d bytes", got.end, len(got.body))
	}
}

// A hundred streams of all kinds, and uploads of other clients to another app on
// the same proxy: each gets its own bytes.
func TestGRPCBesideUploads(t *testing.T) {
	s := start(t)
	s.deploy(grpcShop(grpcServer(t).address))
	plain := app(t, echoBody)
	s.deploy(service("files", addr(plain), "files.localhost"))
	g, ctx := errgroup.WithContext(aMinute(t))
	clients := []*grpc.ClientConn{s.dialGRPC(), s.dialGRPC()}
	for i := range 100 {
		g.Go(func() error {
			c := clients[i%len(clients)]
			var err error
			switch i % 4 {
			case 0:
				message := randomBytes(1 + rand.IntN(100_000))
				var got []byte
				if got, err = grpcCall(ctx, c, "Unary", message); err == nil && !bytes.Equal(got, message) {
					err = errors.New("the echo differs")
				}
			case 1:
				err = grpcSum(ctx, c, randomBytes(100_000), randomBytes(50), randomBytes(30_000))
			case 2:
				err = grpcRepeat(ctx, c, randomBytes(1+rand.IntN(3000)))
			case 3:
				err = grpcChat(ctx, c, randomBytes(10_000), randomBytes(5), randomBytes(40_000))
			}
			if err != nil {
				return fmt.Errorf("kind %d: %w", i%4, err)
			}
			return nil
		})
	}
	h1, h2 := s.newClient(false), s.newClient(true)
	for i := range 60 {
		c := h1
		if i%3 > 0 {
			c = h2
		}
		g.Go(func() error { return uploadTo(ctx, c, "https://files.localhost/", randomBytes(1+rand.IntN(200_000))) })
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// An app that says good-bye has its calls served by others: none fails.
func TestGRPCGoodbyeLosesNothing(t *testing.T) {
	s := start(t)
	apps := []*echoServer{grpcServer(t), grpcServer(t), grpcServer(t)}
	s.deploy(grpcShop(apps[0].address, apps[1].address, apps[2].address))
	c := s.dialGRPC()
	var calls atomic.Int64
	var stop atomic.Bool
	g, ctx := errgroup.WithContext(aMinute(t))
	for range 8 {
		g.Go(func() error {
			for !stop.Load() {
				message := randomBytes(1000)
				got, err := grpcCall(ctx, c, "Unary", message)
				if err != nil || !bytes.Equal(got, message) {
					return fmt.Errorf("call %d: %d bytes, %w", calls.Load(), len(got), err)
				}
				calls.Add(1)
			}
			return nil
		})
	}
	for _, a := range apps[:2] {
		n := calls.Load()
		until(t, "calls go on", func() bool { return calls.Load() > n+100 || ctx.Err() != nil })
		a.GracefulStop()
	}
	n := calls.Load()
	until(t, "calls go on", func() bool { return calls.Load() > n+100 || ctx.Err() != nil })
	stop.Store(true)
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}
