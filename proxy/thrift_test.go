package proxy_test

import (
	"net/http"
	"testing"

	"golang.org/x/net/http2"
)

// A change of the window of all streams weighs as much as one of each.
func TestSettingsWeighByTheirStreams(t *testing.T) {
	s := start(t)
	done := make(chan struct{})
	a := app(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			<-done
		}
	})
	t.Cleanup(func() { close(done) })
	s.deploy(shop(addr(a)))
	c := s.dialH2()
	for i := range uint32(250) {
		c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, EndStream: true, EndHeaders: true,
			BlockFragment: headers([][2]string{{":path!", "/wait"}})})
	}
	until(t, "the streams are open", func() bool { return s.inFlight() == 250 })
	go func() {
		for i := range uint32(2000) {
			if c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1000 + i}) != nil {
				return
			}
		}
	}()
	if got := c.outcome(9999); got != "goaway 11" {
		t.Errorf("2,000 changes of 250 windows: %s", got)
	}
}
