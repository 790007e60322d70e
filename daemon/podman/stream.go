package podman

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/containers/podman/v5/pkg/errorhandling"

	"towline/daemon"
)

// The bindings' own attach looks for terminals among this process's files, and
// swaps the shared client's transport while others use it. So streams are made
// here, each on a connection of its own.

// apiPrefix is understood by every service that the bindings can talk to.
const apiPrefix = "http://d/v4.0.0/libpod"

// stream is a connection that has become the streams of a process.
type stream struct {
	conn   *net.UnixConn
	reader *bufio.Reader
}

// hijack makes a POST request whose connection becomes a stream. The caller
// closes it.
func (c *client) hijack(ctx context.Context, path string, query url.Values, body any) (*stream, error) {
	var payload []byte
	if body != nil { // what an attach does not read would become the process's input
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, apiPrefix+path+"?"+query.Encode(), bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "tcp")
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	s := &stream{conn: conn.(*net.UnixConn), reader: bufio.NewReader(conn)}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(callLimit))
	response, err := s.upgrade(request)
	_ = conn.SetDeadline(time.Time{})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errLate
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	if response.StatusCode != http.StatusSwitchingProtocols && response.StatusCode != http.StatusOK {
		defer conn.Close()
		return nil, apiError(response)
	}
	return s, nil
}

func (s *stream) upgrade(request *http.Request) (*http.Response, error) {
	if err := request.Write(s.conn); err != nil {
		return nil, err
	}
	return http.ReadResponse(s.reader, request)
}

// apiError reads what Podman has to say.
func apiError(response *http.Response) error {
	model := &errorhandling.ErrorModel{ResponseCode: response.StatusCode}
	data, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if json.Unmarshal(data, model) != nil || model.Message == "" {
		model.Message = string(data)
	}
	model.ResponseCode = response.StatusCode
	return model
}

// carry copies between the streams and the process until the process's side ends, or
// the input breaks off. It does not wait for a Read of Stdin in progress, which only its
// owner can end.
func (s *stream) carry(ctx context.Context, streams daemon.Streams, terminal bool) error {
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go s.send(streams.Stdin, cancel)
	err := s.receive(running, streams, terminal)
	if broken := brokenInput(ctx, running); broken != nil {
		return broken
	}
	return err
}

// receive copies what the process says until its side ends, or ctx does.
func (s *stream) receive(ctx context.Context, streams daemon.Streams, terminal bool) error {
	// Who closes the connection is its owner.
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var err error
	if terminal {
		_, err = io.Copy(writer(streams.Stdout), s.reader)
	} else {
		err = demultiplex(s.reader, writer(streams.Stdout), writer(streams.Stderr))
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// inputError says that the input of a process broke off.
type inputError struct{ error }

func (e inputError) Unwrap() error { return e.error }

// brokenInput is the error that the input broke off with, which ended running; nil: that
// goes on, or ended with its caller's ctx, which may end the input too.
func brokenInput(ctx, running context.Context) error {
	if e, ok := context.Cause(running).(inputError); ok && ctx.Err() == nil {
		return daemon.Errorf(daemon.Failed, "the input broke off: %w", e.error)
	}
	return nil
}

// send half-closes the connection after the last byte, which ends the process's
// standard input. Input that breaks off must not look like input that ended: then
// broken is called, and the process gets no end.
func (s *stream) send(stdin io.Reader, broken context.CancelCauseFunc) {
	if stdin != nil {
		input := &source{Reader: stdin}
		err := input.copyTo(s.conn)
		if input.err != nil {
			broken(inputError{input.err})
			return
		}
		if err != nil {
			return // the process is gone, which the other direction tells better
		}
	}
	_ = s.conn.CloseWrite()
}

// source tells an error of the reader from one of the writer.
type source struct {
	io.Reader
	err error // of the reader, but for io.EOF
}

func (r *source) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// copyTo returns the error of the writer alone. A panic of the reader is its error.
func (r *source) copyTo(w io.Writer) error {
	defer daemon.Contain("the input of a process", &r.err)
	_, err := io.Copy(struct{ io.Writer }{w}, r)
	return err
}

func writer(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// demultiplex parts Podman's frames: 1 is standard output, 2 standard error, 3 an
// error of Podman's own.
func demultiplex(r io.Reader, stdout, stderr io.Writer) error {
	var header [8]byte
	for {
		if _, err := io.ReadFull(r, header[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		size := int64(binary.BigEndian.Uint32(header[4:]))
		var err error
		switch header[0] {
		case 0, 1:
			_, err = io.CopyN(stdout, r, size)
		case 2:
			_, err = io.CopyN(stderr, r, size)
		case 3:
			message, _ := io.ReadAll(io.LimitReader(r, size))
			return daemon.Errorf(daemon.Failed, "%s", bytes.TrimSpace(message))
		default:
			return fmt.Errorf("stream is out of step: frame of kind %d", header[0])
		}
		if err != nil {
			return err
		}
	}
}

// followSizes applies window sizes until the channel or ctx ends. path is that
// of the container or exec session.
func (c *client) followSizes(ctx context.Context, path string, sizes <-chan daemon.Size) {
	defer daemon.Contain("the size of a terminal", nil)
	for {
		select {
		case size, ok := <-sizes:
			if !ok {
				return
			}
			_ = c.resize(ctx, path, size) // the next one may work; the process matters more
		case <-ctx.Done():
			return
		}
	}
}

func (c *client) resize(ctx context.Context, path string, size daemon.Size) error {
	query := url.Values{"h": {fmt.Sprint(size.Rows)}, "w": {fmt.Sprint(size.Cols)}, "running": {"true"}}
	body, err := c.request(ctx, http.MethodPost, path+"/resize", query)
	if err != nil {
		return err
	}
	return body.Close()
}

// request makes a call whose answer is read as it comes.
func (c *client) request(ctx context.Context, method, path string, query url.Values) (io.ReadCloser, error) {
	response, err := c.respond(ctx, method, path, query)
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

// respond makes a call. Unlike the bindings it does not linger when ctx ends.
func (c *client) respond(ctx context.Context, method, path string, query url.Values) (*http.Response, error) {
	if _, err := c.call(ctx); err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, method, apiPrefix+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: c.transport}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 != 2 {
		defer response.Body.Close()
		return nil, apiError(response)
	}
	return response, nil
}

// flushDelay is how long a stream may go on after its process has ended, for
// Podman's monitor to pass on the last bytes.
const flushDelay = 30 * time.Second

// limit ends the stream after d.
func (s *stream) limit(d time.Duration) { _ = s.conn.SetReadDeadline(time.Now().Add(d)) }
