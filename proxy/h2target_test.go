package proxy_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
)

// grpcApp speaks gRPC's framing over h2c: it answers each message as it comes.
func grpcApp(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") != "application/grpc" || r.Header.Get("Te") != "trailers" {
			return
		}
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		w.(http.Flusher).Flush()
		in := bufio.NewReader(r.Body)
		for {
			message, err := readMessage(in)
			if err != nil {
				break
			}
			writeMessage(w, "echo "+message)
			w.(http.Flusher).Flush()
		}
		w.Header().Set("Grpc-Status", "0")
	})}
	s.Protocols.SetUnencryptedHTTP2(true)
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

func readMessage(r io.Reader) (string, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return "", err
	}
	b := make([]byte, binary.BigEndian.Uint32(head[1:]))
	_, err := io.ReadFull(r, b)
	return string(b), err
}

func writeMessage(w io.Writer, s string) {
	head := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(s)))
	w.Write(append(head, s...))
}

func TestGRPCStreamsBothWays(t *testing.T) {
	s := start(t)
	service := shop(grpcApp(t))
	service.Targets[0].H2C = true
	s.deploy(service)
	pr, pw := io.Pipe()
	r := request(t, "POST", shopURL+"echo.Echo/Stream", pr)
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("Te", "trailers")
	res, err := s.newClient(true).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	in := bufio.NewReader(res.Body)
	for i := range 5 {
		writeMessage(pw, fmt.Sprint(i))
		if got, err := readMessage(in); err != nil || got != fmt.Sprint("echo ", i) {
			t.Fatalf("message %d: %q %v", i, got, err)
		}
	}
	pw.Close()
	if _, err := io.ReadAll(in); err != nil || res.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("end: %v, trailers %v", err, res.Trailer)
	}
}

func TestH2CTargetThatIsGone(t *testing.T) {
	s := start(t)
	service := shop(grpcApp(t))
	service.Targets[0].H2C = true
	s.deploy(service)
	gone := nobody(t)
	service.Targets[0].Address = gone
	service.Health.Deadline = 1
	if err := s.Deploy(context.Background(), service); err == nil {
		t.Error("deployed a target that is not there")
	}
}

// nobody is an address at which nothing listens.
func nobody(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
