package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

const grpcHealth = "/grpc.health.v1.Health/Check"

// notServing is gRPC's message HealthCheckResponse{status: NOT_SERVING}, with its
// five bytes of frame: not compressed, two bytes long.
var notServing = []byte{0, 0, 0, 0, 2, 0x08, 2}

// streamReset is what net/http makes of a stream that the server reset, for a
// struct of these fields.
type streamReset struct {
	StreamID, Code uint32
	Cause          error
}

func (streamReset) Error() string { return "stream was reset" }

// probeGRPC is probe for a target that speaks HTTP/2 and has no path to ask: it
// calls the health service that gRPC knows. As with other targets, any answer
// means ready (that there is no such service, or that the server resets the
// stream, too), but for NOT_SERVING.
func (t *target) probeGRPC(ctx context.Context, client *http.Client, timeout time.Duration) string {
	empty := make([]byte, 5) // the frame of an empty message
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+t.spec.Address+grpcHealth, bytes.NewReader(empty))
	if err != nil {
		return err.Error()
	}
	again := false
	r.GetBody = func() (io.ReadCloser, error) {
		// net/http repeats what was reset as not processed; once is enough to know.
		if again {
			return nil, streamReset{}
		}
		again = true
		return io.NopCloser(bytes.NewReader(empty)), nil
	}
	r.Header.Set("User-Agent", "towline-health")
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("TE", "trailers")
	r.Header.Set("X-Forwarded-Proto", "https")
	res, err := client.Do(r)
	var reset streamReset
	if errors.As(err, &reset) {
		return ""
	}
	if err != nil {
		return t.explain(err, "POST "+grpcHealth+" by HTTP/2", timeout)
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(res.Body, 64))
	if bytes.Equal(answer, notServing) {
		return grpcHealth + " answered NOT_SERVING"
	}
	return ""
}
