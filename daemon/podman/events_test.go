package podman_test

import (
	"context"
	"testing"
	"time"

	"towline/daemon"
)

func TestEvents(t *testing.T) {
	e := newEngine(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, err := e.Events(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c := started(t, e, daemon.ContainerSpec{Labels: map[string]string{"towline.process": "web"}}, "exit", "3")
	next := func() daemon.Event {
		for {
			select {
			case event := <-events:
				if event.Container == c {
					return event
				}
			case <-time.After(time.Minute):
				t.Fatal("no event within a minute")
			}
		}
	}
	if event := next(); event.Died || event.Labels["towline.process"] != "web" {
		t.Errorf("%+v", event)
	}
	if event := next(); !event.Died || event.ExitCode != 3 || event.Labels["towline.process"] != "web" {
		t.Errorf("%+v", event)
	}
	cancel()
	for range events { // closed by and by
	}
}
