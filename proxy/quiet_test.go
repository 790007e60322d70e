package proxy_test

import (
	"testing"
	"time"

	"towline/proxy"
)

// What many changes of routes leave behind is given back too, though nobody asks for anything.
func TestQuietAfterAChange(t *testing.T) {
	t.Parallel()
	quiet := make(chan struct{}, 10)
	s := start(t, func(o *proxy.Options) { o.Quiet = func() { quiet <- struct{}{} } })
	becomesQuiet := func() {
		t.Helper()
		select {
		case <-quiet:
		case <-time.After(time.Minute):
			t.Fatal("not told that nothing is left to do")
		}
	}
	becomesQuiet()
	s.deploy(shop())
	becomesQuiet()
}
