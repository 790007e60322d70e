package podman

import (
	"errors"
	"strings"

	"towline/daemon"
)

// pullReasons tell what Podman's words about a pull that failed come to. Each of its
// libraries puts its own in front.
var pullReasons = []struct {
	words  []string // any of them
	reason string   // REGISTRY and IMAGE are filled in
	hint   string
}{
	{[]string{"no space left"}, "the disk is full", "on the host: df -h; podman image prune"},
	{[]string{"toomanyrequests", "429 Too Many Requests"}, "REGISTRY has had too many requests from this machine",
		"try again later, or log in on the host: podman login REGISTRY"},
	{[]string{"unauthorized", "authentication required", "access to the resource is denied", "403 (Forbidden)", "invalid username/password"},
		"REGISTRY does not have it, or gives it to nobody without a login", "is the name right? To log in, on the host: podman login REGISTRY"},
	{[]string{"manifest unknown", "name unknown", "404 (Not Found)", "reading manifest"}, "REGISTRY has no such image", "is its name right, and its tag?"},
	{[]string{"x509:", "tls:", "server gave HTTP response to HTTPS client"}, "REGISTRY has no certificate that this machine trusts", "on the host: curl https://REGISTRY/v2/"},
	{[]string{"no such host", "dial tcp", "i/o timeout", "connection refused", "connection reset", "network is unreachable", "no route to host", "EOF"},
		"REGISTRY does not answer", "does this machine reach it? On the host: curl https://REGISTRY/v2/"},
	{[]string{"no image found in manifest list for architecture", "no image found in image index for architecture"}, "there is none for this machine's kind of processor", ""},
}

// pullFailed is the error of a pull, in words. What is no answer about the image stays as
// wrap has it.
func pullFailed(err error, ref string) error {
	wrapped := wrap(err, "pull "+ref)
	var known *daemon.Error
	if !errors.As(wrapped, &known) || known.Kind == daemon.Unavailable || errors.Is(wrapped, errLate) {
		return wrapped
	}
	registry, _, _ := strings.Cut(fullName(ref), "/")
	fill := strings.NewReplacer("REGISTRY", registry, "IMAGE", ref).Replace
	for _, r := range pullReasons {
		if contains(err, r.words...) {
			failed := daemon.Errorf(daemon.Failed, "the image %s can't be pulled: %s", ref, fill(r.reason)).WithHint("%s", fill(r.hint))
			failed.Err = err // for the log
			return failed
		}
	}
	return wrapped
}
