package build

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"

	"towline/daemon"
)

// phases are the containers that a build may have, each named for its build and
// its phase. Clean removes them by these names.
var phases = []string{"base", "dockerfile", "analyze", "build", "export"}

func (b *Builder) containerName(id, phase string) string {
	return b.options.Name + "-build-" + id + "-" + phase
}

// network joins a build to the outside, and to no app, no add-on, no other build.
func (b *Builder) network(id string) string { return b.options.Name + "-build-" + id }

// run runs one phase to its end and removes its container. spec needs what the
// phase is about: name, labels, limits and the user namespace are added here.
func (j *job) run(ctx context.Context, phase string, spec daemon.ContainerSpec, out io.Writer) (exit int, err error) {
	engine := j.b.options.Engine
	spec.Name = j.b.containerName(j.req.ID, phase)
	spec.Labels = map[string]string{"towline.kind": "build", "towline.build": j.req.ID}
	spec.IDMap = j.b.options.IDMap
	spec.Limits.Memory = j.b.options.Memory
	spec.Limits.Pids, spec.Limits.Files, spec.Limits.Disk = maxProcesses, maxOpenFiles, j.b.options.Disk
	spec.Limits.Background = true
	if len(spec.Networks) > 0 {
		if err := engine.EnsureNetwork(ctx, j.b.network(j.req.ID), nil); err != nil {
			return 0, err
		}
	}
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
		defer cancel()
		if rerr := engine.RemoveContainer(clean, spec.Name); err == nil {
			err = rerr
		}
	}()
	if err := engine.CreateContainer(ctx, spec); err != nil {
		return 0, err
	}
	exit, err = engine.RunAttached(ctx, spec.Name, daemon.Streams{Stdout: out, Stderr: out})
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	return exit, err
}

// caPath is where Debian and its kin look for trusted certificates.
const caPath = "/etc/ssl/certs/ca-certificates.crt"

// trust adds the CA bundle to a container's mounts.
func (b *Builder) trust(mounts []daemon.Mount) []daemon.Mount {
	if b.options.CABundle == "" {
		return mounts
	}
	return append(mounts, daemon.Mount{Source: b.options.CABundle, Target: caPath, ReadOnly: true})
}

// buildEnv is what every build gets, and what makes tools that bring their own
// certificates trust the bundle too.
func (b *Builder) buildEnv() map[string]string {
	env := map[string]string{}
	if b.options.CABundle != "" {
		for _, name := range []string{
			"SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO",
			"REQUESTS_CA_BUNDLE", "PIP_CERT", "CARGO_HTTP_CAINFO",
		} {
			env[name] = caPath
		}
	}
	maps.Copy(env, b.options.Env)
	return env
}

// appArmor tells whether the host confines containers by AppArmor, whose profile
// for them forbids the mounts that a nested build makes.
func appArmor() bool {
	enabled, _ := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	return strings.HasPrefix(string(enabled), "Y")
}

// failed is the error of a build that did not work, told by what it said last.
// Mostly the limit of memory strikes a child of a child, of which the engine does
// not know.
func (j *job) failed(what string, exit int) *daemon.Error {
	if memory := j.b.options.Memory; memory > 0 && j.out.Killed() {
		return daemon.Errorf(daemon.Failed, "%s: a command was killed, most likely as it needed more than the %d MB of memory that a build has", what, memory>>20).
			WithHint("make the build need less, or raise memory under [build] in towline.toml")
	}
	c := j.out.Cause()
	if c.String() == "" {
		c.Line = fmt.Sprintf("exit code %d", exit)
	}
	return daemon.Errorf(daemon.Failed, "%s: %s", what, c).WithHint("%s", cmp.Or(c.Hint, "mend what the output above complains about, commit and push again"))
}
