package podman

import (
	"context"

	"github.com/containers/podman/v5/pkg/bindings/images"

	"towline/daemon"
)

var (
	HostLines    = hostLines
	RewriteHosts = rewriteHosts

	ProjectQuotas = projectQuotas
	CheapMaps     = cheapMaps
	Listening     = listening
	MapsMounts    = mapsMounts
)

func ParseKill(line string) (id, process string, ok bool) {
	k, ok := parseKill(line)
	return k.id, k.process, ok
}

// PullWithoutTLS pulls as EnsureImage does, from a registry that has no certificate.
func (e *Engine) PullWithoutTLS(ctx context.Context, ref string) (daemon.Image, error) {
	return e.pull(ctx, ref, new(images.PullOptions).WithSkipTLSVerify(true))
}

// InMountsOf is what seals files, and maps mounts.
func InMountsOf(pid int, f func() error) error {
	process, err := openProcess(pid)
	if err != nil {
		return err
	}
	defer process.Close()
	return inMountsOf(process, f)
}

// Ending is ending.
var Ending = ending

// Isolate is what comes before the start of a container in a network of that bridge.
func (e *Engine) Isolate(ctx context.Context, bridge string) error { return e.isolate(ctx, bridge) }

// Forget is what comes after the end of the network.
func (e *Engine) Forget(ctx context.Context, bridge string) error { return e.forget(ctx, bridge) }

// ForgetYoung has half a container of any age be one that nobody makes.
func (e *Engine) ForgetYoung() { e.halfMade.young = 0 }
