package proxy_test

import (
	"strings"
	"testing"
)

func TestAddressBeforeTheFirstDeploy(t *testing.T) {
	s := start(t)
	empty := shop()
	empty.Options.Undeployed = true
	s.deploy(empty)
	got := s.get(shopURL) // over TLS that the client trusts
	if got.StatusCode != 404 || !strings.Contains(got.body, "Nothing is deployed here yet") {
		t.Errorf("got %d %q", got.StatusCode, got.body)
	}
	s.restart()
	if got := s.get(shopURL); got.StatusCode != 404 {
		t.Errorf("after a restart: %d", got.StatusCode)
	}
	s.deploy(shop(addr(app(t, says("ok")))))
	if got := s.get(shopURL); got.body != "ok" {
		t.Errorf("deployed: %d %q", got.StatusCode, got.body)
	}
}
