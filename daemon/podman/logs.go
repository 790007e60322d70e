package podman

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// ContainerLog implements daemon.Containers.
func (e *containerEngine) ContainerLog(ctx context.Context, name string, follow bool, stdout, stderr io.Writer) error {
	query := url.Values{"stdout": {"true"}, "stderr": {"true"}, "follow": {strconv.FormatBool(follow)}}
	body, err := e.request(ctx, http.MethodGet, "/containers/"+url.PathEscape(name)+"/logs", query)
	if err != nil {
		return wrap(err, "log of container "+name)
	}
	defer body.Close()
	err = demultiplex(body, writer(stdout), writer(stderr))
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return wrap(err, "log of container "+name)
}
