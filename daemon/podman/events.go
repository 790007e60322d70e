package podman

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"towline/daemon"
)

// Reconnecting begins fast, for a restarted service, and slows down to spare a
// machine whose Podman stays away.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// Events implements daemon.Containers. As long as it is connected, a
// socket-activated service stays up.
func (e *containerEngine) Events(ctx context.Context) (<-chan daemon.Event, error) {
	events := make(chan daemon.Event)
	body, err := e.openEvents(ctx) // in place on return, if Podman is there
	var kills sync.WaitGroup
	kills.Go(func() {
		defer daemon.Contain("the kernel's word on memory", nil)
		e.followKills(ctx, events)
	})
	go func() {
		defer close(events)
		defer kills.Wait()
		defer daemon.Contain("the stream of Podman's events", nil)
		retry := firstRetry
		for first := true; ; first = false {
			if err == nil {
				retry = firstRetry
				copyEvents(ctx, body, events, !first)
			}
			select {
			case <-time.After(retry):
			case <-ctx.Done():
				return
			}
			retry = min(2*retry, lastRetry)
			body, err = e.openEvents(ctx)
		}
	}()
	return events, nil
}

func (e *containerEngine) openEvents(ctx context.Context) (io.ReadCloser, error) {
	filters, err := json.Marshal(map[string][]string{
		"type":  {"container"},
		"event": {"start", "died"},
		"label": {Label + "=" + e.name},
	})
	if err != nil {
		return nil, err
	}
	return e.request(ctx, http.MethodGet, "/events", url.Values{"stream": {"true"}, "filters": {string(filters)}})
}

// copyEvents returns when the connection or ctx ends. missed: it was away before.
func copyEvents(ctx context.Context, body io.ReadCloser, events chan<- daemon.Event, missed bool) {
	defer body.Close()
	decoder := json.NewDecoder(body)
	if missed {
		select {
		case events <- daemon.Event{Missed: true}:
		case <-ctx.Done():
			return
		}
	}
	for {
		var message struct {
			Action string
			Actor  struct{ Attributes map[string]string }
		}
		if err := decoder.Decode(&message); err != nil {
			return
		}
		labels := maps.Clone(message.Actor.Attributes)
		event := daemon.Event{Container: labels["name"], Labels: labels, Died: message.Action == "died"}
		event.ExitCode, _ = strconv.Atoi(labels["containerExitCode"]) // absent from a start
		for _, key := range []string{"name", "image", "containerExitCode"} {
			delete(labels, key)
		}
		select {
		case events <- event:
		case <-ctx.Done():
			return
		}
	}
}
