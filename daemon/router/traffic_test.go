package router_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"towline/daemon"
	"towline/proxy/control"
)

func (p *table) Traffic(_ context.Context, mark string, wait time.Duration) (control.Report, error) {
	return control.Report{Mark: "b", Services: []control.Traffic{{
		Service: "shop", Began: "1", Status: [6]int64{0, 0, 7}, In: 1, Out: 2, WebSockets: 3, Took: []uint32{4, 5}, First: []uint32{6, 7},
	}}}, p.did("traffic", mark, wait)
}

func TestTraffic(t *testing.T) {
	p := &table{}
	r := serve(t, p)
	got, err := r.Traffic(t.Context(), "a", time.Minute)
	want := daemon.TrafficReport{Mark: "b", Apps: []daemon.Traffic{{
		App: "shop", Began: "1", Status: [6]int64{0, 0, 7}, In: 1, Out: 2, WebSockets: 3, Took: []uint32{4, 5}, First: []uint32{6, 7},
	}}}
	if err != nil || !reflect.DeepEqual(got, want) || !reflect.DeepEqual(p.called, []any{"traffic", "a", time.Minute}) {
		t.Errorf("got %+v, %v, after %v", got, err, p.called)
	}
	p.err = errors.New("disk full")
	if _, err := r.Traffic(t.Context(), "a", 0); err == nil {
		t.Error("the proxy failed, and nobody is told")
	}
}
