package podman

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/containers/podman/v5/pkg/errorhandling"

	"towline/daemon"
)

// TestPullFailed: what Podman says of an image that can't be had is told in words.
func TestPullFailed(t *testing.T) {
	for said, want := range map[string]string{
		`initializing source docker://redis:7: pinging container registry registry-1.docker.io: Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io on 10.0.0.2:53: no such host`: "docker.io does not answer",
		`initializing source docker://redis:7: pinging container registry registry-1.docker.io: Get "https://registry-1.docker.io/v2/": dial tcp 1.2.3.4:443: connect: connection refused`:                  "docker.io does not answer",
		`initializing source docker://redis:7: reading manifest 7 in docker.io/library/redis: manifest unknown: manifest unknown`:                                                                           "docker.io has no such image",
		`initializing source docker://redis:7: reading manifest 7 in docker.io/library/redis: requested access to the resource is denied`:                                                                   "gives it to nobody without a login",
		`initializing source docker://redis:7: reading manifest 7 in docker.io/library/redis: toomanyrequests: You have reached your pull rate limit`:                                                       "too many requests",
		`copying system image from manifest list: writing blob: storing blob to file: write /var/tmp/x: no space left on device`:                                                                            "the disk is full",
		`pinging container registry docker.io: Get "https://docker.io/v2/": x509: certificate signed by unknown authority`:                                                                                  "no certificate that this machine trusts",
	} {
		err := pullFailed(&errorhandling.ErrorModel{Message: said, ResponseCode: 500}, "redis:7")
		var e *daemon.Error
		if !errors.As(err, &e) || e.Kind != daemon.Failed || !strings.HasPrefix(e.Message, "the image redis:7 can't be pulled: ") || !strings.Contains(e.Message, want) || e.Hint == "" {
			t.Errorf("%s\nis %v", said, err)
		}
		if strings.Contains(e.Message, "initializing source") {
			t.Errorf("Podman's words are left: %s", e.Message)
		}
	}
	if err := pullFailed(context.Canceled, "redis:7"); !strings.Contains(err.Error(), "context canceled") {
		t.Error(err)
	}
}
