package build

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"towline/daemon"
	"towline/daemon/shell"
)

// A Dockerfile is built by buildah in a container whose root is nobody on the host.
// It has no capability beyond the usual: what buildah mounts, it mounts in a user
// namespace that it makes for itself, where whatever the container had mounted
// read-only, such as base images that other apps use too, stays so. Whatever path
// a Dockerfile tricks it into following ends in this container.

// The script's exit codes tell which step failed.
const (
	exitBuild  = 10
	exitExport = 11
)

const dockerfileScript = `
[ -z "$DIRTY" ] || buildah rm -a >/dev/null 2>&1 || true
buildah bud --format docker --isolation chroot --layers --force-rm --pull=false "$@" -t app -f "/ctx/$FILE" /ctx || exit 10
buildah push -q --compression-level 1 app oci:/out/img:latest || exit 11
[ -z "$STALE" ] || buildah rmi -f $STALE >/dev/null 2>&1 || true
`

// dockerfileBuild is what one build by Dockerfile works with.
type dockerfileBuild struct {
	*job
	method
	dir   string // of the app's cache
	state appState
	bases []base // in the order of their mounts
	known map[string]int64
	args  map[string]string // build arguments that the Dockerfile may ask for
	// lostMount tells that a step did not find a directory that it mounts, and
	// lostLayer that the store lacks a part of what it has.
	lostMount, lostLayer bool
}

// dockerfileCache is the directory of what builds of an app by Dockerfile keep.
func dockerfileCache(b *Builder, app string) string { return b.path("apps", app, "dockerfile") }

func (j *job) buildDockerfile(ctx context.Context, m method) (daemon.BuildResult, error) {
	began := time.Now()
	m.say(j.out, m.name())
	if j.b.options.Dockerfile == "" {
		return daemon.BuildResult{}, daemon.Errorf(daemon.Unavailable, "no image to build a Dockerfile with is configured").
			WithHint("set dockerfile under [build] in towline.toml")
	}
	if _, err := j.ensure(ctx, j.b.options.Dockerfile); err != nil {
		return daemon.BuildResult{}, err
	}
	text, err := readPlain(j.req.Source, m.dockerfile, maxContainerfile)
	if err != nil {
		return daemon.BuildResult{}, err
	}
	args := maps.Clone(m.args)
	if args == nil {
		args = map[string]string{}
	}
	maps.Copy(args, j.b.buildEnv())
	parsed := parseContainerfile(string(text), args)
	if err := m.checkTarget(parsed); err != nil {
		return daemon.BuildResult{}, err
	}
	if len(parsed.refused) > 0 {
		return daemon.BuildResult{}, refuseBase(parsed.refused[0])
	}
	d := &dockerfileBuild{job: j, method: m, args: args, dir: dockerfileCache(j.b, j.req.App)}
	defer d.release()
	if err := d.prepare(ctx, parsed.bases); err != nil {
		return daemon.BuildResult{}, err
	}
	if err := d.build(ctx, parsed.args); err != nil {
		return daemon.BuildResult{}, err
	}
	image, err := d.deliver(ctx)
	if err != nil {
		return daemon.BuildResult{}, err
	}
	j.out.Stage("Build succeeded in %.1f s", time.Since(began).Seconds())
	result := daemon.BuildResult{Image: image, Kind: "dockerfile", Types: m.types, Exposed: parsed.exposedBy(m.target, image.Exposed)}
	if words := slices.Concat(image.Entrypoint, image.Cmd); len(words) > 0 {
		result.Processes = map[string]string{}
		for _, process := range append([]string{"web"}, m.defaults...) {
			result.Processes[process] = shell.Join(words)
		}
	}
	return result, nil
}

// prepare makes ready what the container mounts.
func (d *dockerfileBuild) prepare(ctx context.Context, names []string) error {
	if err := os.MkdirAll(d.dir, 0o711); err != nil {
		return err
	}
	var err error
	if d.state, err = readAppState(d.dir); err != nil {
		return err
	}
	if err := d.provideBases(ctx, names); err != nil {
		return err
	}
	ids := int(d.b.options.IDMap)
	if _, err := os.Lstat(filepath.Join(d.dir, "store")); errors.Is(err, os.ErrNotExist) {
		if err := d.clearStore(); err != nil {
			return err
		}
	}
	d.findKnownLayers(ctx)
	err = errors.Join(d.clearExport(), writeFile(filepath.Join(d.work, "storage.conf"), storageConfig(d.baseIDs()), ids, ids))
	if err != nil {
		return err
	}
	return handOver(d.req.Source, ids, ids, false)
}

// build runs buildah.
func (d *dockerfileBuild) build(ctx context.Context, declared []string) error {
	d.state.Builds++
	file, err := filepath.Rel(d.context, d.dockerfile)
	if err != nil {
		return err
	}
	env := map[string]string{"FILE": file}
	if d.state.Dirty {
		env["DIRTY"] = "1"
	}
	if stale := d.state.stale(); len(stale) > 0 {
		env["STALE"] = strings.Join(stale, " ")
	}
	d.state.Dirty = true
	if err := d.state.write(d.dir); err != nil {
		return err
	}
	args := d.arguments(declared)
	d.out.Filter(d.filter())
	exit, err := d.run(ctx, "dockerfile", d.spec(dockerfileScript, env, args), d.out)
	if err == nil && d.lostMount {
		// Buildah before 1.29 does not mount from a stage that the cache had.
		d.out.Filter(d.filter())
		d.out.Stage("Once more, without the cache: a step mounts from a cached stage")
		if err = d.clearExport(); err == nil {
			exit, err = d.run(ctx, "dockerfile", d.spec(dockerfileScript, env, append(args, "--no-cache")), d.out)
		}
	}
	if err == nil && exit != 0 && d.lostLayer {
		d.out.Filter(d.filter())
		d.out.Stage("Once more, with a new cache: the old one is damaged")
		if err = errors.Join(d.clearStore(), d.clearExport()); err == nil {
			exit, err = d.run(ctx, "dockerfile", d.spec(dockerfileScript, env, args), d.out)
		}
	}
	d.out.Filter(nil)
	if err != nil {
		return err
	}
	d.state.Dirty = false
	if err := d.state.write(d.dir); err != nil {
		return err
	}
	switch exit {
	case 0:
		return nil
	case exitExport:
		return d.failed("can't export the image", exit)
	default:
		return d.failed("build failed", exit)
	}
}

func (d *dockerfileBuild) spec(script string, env map[string]string, args []string) daemon.ContainerSpec {
	spec := d.nested(script, env, args...)
	spec.Env["CONTAINERS_STORAGE_CONF"] = "/etc/containers/storage.conf"
	if d.b.options.CABundle != "" {
		spec.Env["SSL_CERT_FILE"] = caPath
	}
	spec.Mounts = d.b.trust(append(spec.Mounts,
		daemon.Mount{Source: filepath.Join(d.req.Source, d.context), Target: "/ctx", ReadOnly: true},
		daemon.Mount{Source: filepath.Join(d.work, "out"), Target: "/out"},
		daemon.Mount{Source: filepath.Join(d.work, "storage.conf"), Target: "/etc/containers/storage.conf", ReadOnly: true},
		daemon.Mount{Source: filepath.Join(d.dir, "store"), Target: nestedStore}))
	for i, b := range d.bases {
		spec.Mounts = append(spec.Mounts, daemon.Mount{
			Source: filepath.Join(d.b.bases.dir(b.ID), "storage"), Target: baseMount(i), ReadOnly: true,
		})
	}
	return spec
}

// proxyArgs are build arguments that a Dockerfile need not declare.
var proxyArgs = []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY", "ftp_proxy", "NO_PROXY", "no_proxy"}

// arguments hands over what the source and the configuration have for builds, as far as
// the Dockerfile asks for it, and has its commands trust the CA bundle.
func (d *dockerfileBuild) arguments(declared []string) (args []string) {
	for _, name := range slices.Concat(declared, proxyArgs) {
		if value, ok := d.args[name]; ok {
			args = append(args, "--build-arg", name+"="+value)
		}
	}
	if d.target != "" {
		args = append(args, "--target", d.target)
	}
	if d.b.options.CABundle != "" {
		args = append(args, "--volume", caPath+":"+caPath+":ro")
	}
	return args
}

var (
	lostMount = regexp.MustCompile(`couldn't find "?\\?"/var/lib/containers/storage/overlay/.* on host to bind mount`)
	lostLayer = regexp.MustCompile(`Can't stat lower layer .* because it does not exist|(identifier is not a container|layer not known|image not known|locating item named "manifest" for image)\b`)
	commitTag = regexp.MustCompile(`^(\[\d+/\d+\] )?COMMIT app$`)
	stepImage = regexp.MustCompile(`^--> (?:Using cache )?([0-9a-f]{11})[0-9a-f]*$`)
)

// filter leaves out what tells the user nothing, and notes the images in the
// store that were of use.
func (d *dockerfileBuild) filter() func(line string) (string, bool) {
	cached := false
	return func(line string) (string, bool) {
		if m := stepImage.FindStringSubmatch(line); m != nil {
			d.state.used(m[1])
			if strings.HasPrefix(line, "--> Using cache") {
				cached = true
				return "(cached)", true
			}
			return "", false
		}
		if lostMount.MatchString(line) && cached {
			d.lostMount = true
		}
		if lostLayer.MatchString(line) {
			d.lostLayer = true
		}
		switch {
		case commitTag.MatchString(line), strings.HasPrefix(line, "Successfully tagged localhost/app"):
			return "", false
		case len(line) == 64 && strings.Trim(line, "0123456789abcdef") == "":
			return "", false
		case strings.Contains(line, "level=warning") && strings.Contains(line, "HEALTHCHECK is not supported"):
			return "", false
		}
		return line, true
	}
}
