package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // the client's call that is compressed
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"towline/proxy/control"
)

// corePython is the Python that has grpcio, which packaging/dev/setup.sh --grpc makes.
const corePython = "/var/cache/towline/grpcio/bin/python"

// core runs testdata/grpccore.py, gRPC as Python, Ruby, PHP and C++ speak it.
func core(ctx context.Context, t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	if _, err := os.Stat(corePython); err != nil {
		t.Skipf("there is no %s: packaging/dev/setup.sh --grpc makes it", corePython)
	}
	cmd := exec.CommandContext(ctx, corePython, append([]string{"testdata/grpccore.py"}, args...)...)
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// coreServer is a server on C-core: its address, and how it is told to end once its calls
// have. health is what its health service says, or none.
func coreServer(t *testing.T, health string) (address string, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := core(ctx, t, "serve", health)
	var log bytes.Buffer
	cmd.Stderr = &log
	stdin, err := cmd.StdinPipe()
	stdout, oerr := cmd.StdoutPipe()
	if err := errors.Join(err, oerr, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	end = func() { stdin.Close() }
	t.Cleanup(func() {
		end()
		stop := time.AfterFunc(time.Minute, cancel)
		_ = cmd.Wait()
		stop.Stop()
		cancel()
		if t.Failed() {
			t.Logf("the server wrote:\n%s", &log)
		}
	})
	port, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the server does not start: %v", err)
	}
	return "127.0.0.1:" + strings.TrimSpace(port), end
}

// coreCalls makes calls of each kind through the proxy by a client on C-core.
func (s *stand) coreCalls(t *testing.T) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root.crt")
	if err := os.WriteFile(root, s.RootCertificate(), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := core(aMinute(t), t, "call", s.HTTPSAddr(), "shop.localhost", root).CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}

func TestGRPCOfCoreClient(t *testing.T) {
	s := start(t)
	s.deploy(grpcShop(grpcServer(t).address))
	s.coreCalls(t)
}

func TestGRPCOfCoreClientAndServer(t *testing.T) {
	s := start(t)
	a, _ := coreServer(t, "serving")
	s.deploy(grpcShop(a))
	s.coreCalls(t)
}

func TestGRPCOfCoreServer(t *testing.T) {
	s := start(t)
	a, _ := coreServer(t, "none")
	s.deploy(grpcShop(a))
	c, ctx := s.dialGRPC(), aMinute(t)
	asked := metadata.NewOutgoingContext(ctx, metadata.Pairs("asked", "one", "asked-bin", "\x00\xff"))
	if got, err := grpcCall(asked, c, "Unary", []byte("hello")); err != nil || string(got) != "hello" {
		t.Errorf("unary: %q %v", got, err)
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
	if _, err := grpcCall(ctx, c, "Fail", []byte("x")); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("error: %v", err)
	}
}

func TestGRPCOfCoreServerIsReady(t *testing.T) {
	s := start(t)
	for health, want := range map[string]string{"serving": "", "none": "", "not-serving": "answered NOT_SERVING"} {
		t.Run(health, func(t *testing.T) {
			a, _ := coreServer(t, health)
			sv := grpcShop(a)
			if want == "" {
				s.deploy(sv)
				return
			}
			sv.Health.Deadline = 300 * time.Millisecond
			var notReady *control.NotReady
			until(t, "a probe is answered in time", func() bool {
				return errors.As(s.Deploy(aMinute(t), sv), &notReady) && strings.HasSuffix(notReady.Reason, want)
			})
		})
	}
}

// A deploy from one server on C-core to another: no call fails. (When such a server ends
// it cancels calls that have just come, so it must have none by then.)
func TestGRPCOfCoreServerDeploy(t *testing.T) {
	s := start(t)
	one, end := coreServer(t, "none")
	other, _ := coreServer(t, "none")
	s.deploy(grpcShop(one))
	c := s.dialGRPC()
	var calls atomic.Int64
	var stop atomic.Bool
	g, ctx := errgroup.WithContext(aMinute(t))
	for range 4 {
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
	goOn := func() {
		n := calls.Load()
		until(t, "calls go on", func() bool { return calls.Load() > n+50 || ctx.Err() != nil })
	}
	goOn()
	s.deploy(grpcShop(other))
	if err := s.Drain(ctx, "shop", time.Minute); err != nil {
		t.Error(err)
	}
	end()
	goOn()
	stop.Store(true)
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}
