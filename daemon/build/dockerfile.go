package build

import (
	"context"
	"errors"
	"fmt"
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

const (
	nestedStore  = "/var/lib/containers/storage"
	nestedConfig = "/etc/towline-build" // mounted; buildah is told by the environment
)

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

// exportScript is the second half alone.
const exportScript = `buildah push -q --compression-level 1 app oci:/out/img:latest || exit 11`

// nestedCapabilities are what buildah and the commands of a Dockerfile have. Not
// SYS_ADMIN: with it, a read-only mount could be made writable.
var nestedCapabilities = []string{
	"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE",
	"SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}

// writeNestedConfig makes the files that are the same for every nested build.
func (b *Builder) writeNestedConfig() error {
	dir := b.path("config")
	err := os.MkdirAll(dir, 0o711)
	for name, text := range map[string]string{
		"policy.json": `{"default":[{"type":"insecureAcceptAnything"}]}` + "\n",
		// What a Dockerfile's author means by "FROM node".
		"registries.conf": "unqualified-search-registries = [\"docker.io\"]\nshort-name-mode = \"permissive\"\n",
		"containers.conf": fmt.Sprintf("[containers]\ndefault_capabilities = [\"%s\"]\n", strings.Join(nestedCapabilities, `", "`)),
	} {
		path := filepath.Join(dir, name)
		err = errors.Join(err, os.WriteFile(path, []byte(text), 0o644), os.Chmod(path, 0o644))
	}
	return err
}

// storageConfig is buildah's, with further stores that it may read.
func storageConfig(bases []string) string {
	var stores []string
	for i := range bases {
		stores = append(stores, fmt.Sprintf("%q", baseMount(i)))
	}
	return fmt.Sprintf("[storage]\ndriver = \"overlay\"\nrunroot = \"/run/containers/storage\"\ngraphroot = %q\n"+
		"[storage.options]\nadditionalimagestores = [%s]\n", nestedStore, strings.Join(stores, ", "))
}

func baseMount(i int) string { return fmt.Sprintf("/bases/%d", i) }

// nested is a container that runs a shell script around buildah.
func (j *job) nested(script string, env map[string]string, args ...string) daemon.ContainerSpec {
	all := map[string]string{
		"CONTAINERS_REGISTRIES_CONF": nestedConfig + "/registries.conf",
		"CONTAINERS_CONF":            nestedConfig + "/containers.conf",
		"STORAGE_DRIVER":             "overlay",
		"BUILDAH_ISOLATION":          "chroot",
		"HOME":                       "/root",
	}
	for k, v := range env {
		all[k] = v
	}
	return daemon.ContainerSpec{
		Image:      j.b.options.Dockerfile,
		Entrypoint: []string{"sh", "-c", script, "sh"},
		Command:    args,
		Env:        all,
		User:       "0:0",
		WorkDir:    "/",
		Networks:   []daemon.Attachment{{Network: j.b.network(j.req.ID)}},
		Mounts: []daemon.Mount{
			{Source: j.b.path("config"), Target: nestedConfig, ReadOnly: true},
			{Source: j.b.path("config", "policy.json"), Target: "/etc/containers/policy.json", ReadOnly: true},
		},
		CapDrop:    []string{"ALL"},
		CapAdd:     nestedCapabilities,
		Unconfined: appArmor(),
		Init:       true,
	}
}

// dockerfileBuild is what one build by Dockerfile works with.
type dockerfileBuild struct {
	*job
	dir   string // of the app's cache
	state appState
	bases []base // in the order of their mounts
	known map[string]int64
	// lostMount tells that a step did not find a directory that it mounts.
	lostMount bool
}

func (j *job) buildDockerfile(ctx context.Context, file string) (daemon.BuildResult, error) {
	began := time.Now()
	j.out.Stage("Building with the %s", file)
	if j.b.options.Dockerfile == "" {
		return daemon.BuildResult{}, daemon.Errorf(daemon.Unavailable, "no image to build a Dockerfile with is configured").
			WithHint("set dockerfile under [build] in towline.toml")
	}
	if _, err := j.b.options.Engine.EnsureImage(ctx, j.b.options.Dockerfile, j.out); err != nil {
		return daemon.BuildResult{}, err
	}
	text, err := readContainerfile(j.req.Source, file)
	if err != nil {
		return daemon.BuildResult{}, err
	}
	parsed := parseContainerfile(text, j.b.options.Env)
	if len(parsed.refused) > 0 {
		return daemon.BuildResult{}, refuseBase(parsed.refused[0])
	}
	d := &dockerfileBuild{job: j, dir: j.b.path("apps", j.req.App, "dockerfile")}
	defer d.release()
	if err := d.prepare(ctx, parsed.bases); err != nil {
		return daemon.BuildResult{}, err
	}
	if err := d.build(ctx, file, parsed.args); err != nil {
		return daemon.BuildResult{}, err
	}
	image, err := d.deliver(ctx)
	if err != nil {
		return daemon.BuildResult{}, err
	}
	j.out.Stage("Build succeeded in %.1f s", time.Since(began).Seconds())
	result := daemon.BuildResult{Image: image, Kind: "dockerfile"}
	if words := slices.Concat(image.Entrypoint, image.Cmd); len(words) > 0 {
		result.Processes = map[string]string{"web": shell.Join(words)}
	}
	return result, nil
}

// refuseBase says why a Dockerfile may not build upon, or copy from, what it names.
func refuseBase(name string) error {
	if len(name) > 200 {
		name = name[:200] + "..."
	}
	if strings.Contains(name, "$") {
		return daemon.Errorf(daemon.Invalid, "the Dockerfile copies from %q: the name of an image may not hold a variable there", name).
			WithHint("give the image a stage of its own, as in FROM $IMAGE AS files, and copy from that")
	}
	return daemon.Errorf(daemon.Invalid, "the Dockerfile builds upon %q, which is not the name of an image", name).
		WithHint("only images are taken, by their name alone, like node:20 or ghcr.io/acme/base:1")
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
		if err := makeDir(filepath.Join(d.dir, "store"), ids, ids); err != nil {
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

// provideBases finds the store of each base image, and of those that cached
// layers rest upon. This build's come first: there names are looked up.
func (d *dockerfileBuild) provideBases(ctx context.Context, names []string) error {
	for _, name := range names {
		if strings.Contains(name, "@") || strings.ContainsAny(name, " \t$") || strings.HasPrefix(name, "-") {
			continue // buildah knows what to do, or what to say
		}
		full, ok := d.b.allowed.find(name, repositoryOf(d.req.Image))
		if !ok {
			if local, _ := canonical(name); strings.HasPrefix(local, "localhost/") {
				return daemon.Errorf(daemon.Invalid, "%s is not an image that a build may use", name).
					WithHint("an administrator can add it to bases under [build] in towline.toml, or name one of a registry")
			}
			continue // it may be public: buildah can pull it
		}
		got, found, err := d.b.bases.Provide(ctx, d.job, full, name)
		if err != nil {
			return err
		}
		if !found && strings.HasPrefix(name, "localhost/") {
			return daemon.Errorf(daemon.Failed, "base image %s is not on this machine", name).
				WithHint("names that begin with localhost/ are never pulled: build it on the machine, or name a registry")
		}
		if !found {
			continue
		}
		if slices.ContainsFunc(d.bases, func(b base) bool { return b.ID == got.ID }) {
			d.b.bases.Release(got.ID)
			continue
		}
		d.bases = append(d.bases, got)
	}
	if err := d.provideOldBases(); err != nil {
		return err
	}
	d.state.Bases = d.baseIDs()
	return nil
}

// provideOldBases finds the stores that the layers in the app's cache rest upon. If
// one is gone, or there are too many, the cache is begun anew.
func (d *dockerfileBuild) provideOldBases() error {
	own := len(d.bases)
	usable := true
	for _, id := range d.state.Bases {
		if slices.Contains(d.baseIDs(), id) {
			continue
		}
		got, err := d.b.bases.Use(id)
		if err == nil && !d.mayUse(got) {
			d.b.bases.Release(id)
			err = errors.New("no longer allowed")
		}
		if err == nil {
			d.bases = append(d.bases, got)
		}
		if usable = err == nil && len(d.bases) <= max(own, keepBases); !usable {
			break
		}
	}
	if usable {
		return nil
	}
	for _, b := range d.bases[own:] {
		d.b.bases.Release(b.ID)
	}
	d.bases = d.bases[:own]
	d.state.Steps = nil
	return os.RemoveAll(filepath.Join(d.dir, "store"))
}

// mayUse tells whether the app may still build upon a store that its cache rests
// upon: what is allowed may have changed.
func (d *dockerfileBuild) mayUse(b base) bool {
	return slices.ContainsFunc(b.Names, func(name string) bool {
		_, ok := d.b.allowed.find(name, repositoryOf(d.req.Image))
		return ok
	})
}

func (d *dockerfileBuild) baseIDs() (ids []string) {
	for _, b := range d.bases {
		ids = append(ids, b.ID)
	}
	return ids
}

func (d *dockerfileBuild) release() {
	for _, id := range d.baseIDs() {
		d.b.bases.Release(id)
	}
}

// findKnownLayers lists the layers that the engine has for sure and that this app
// may have: its bases', and its newest image's.
func (d *dockerfileBuild) findKnownLayers(ctx context.Context) {
	d.known = map[string]int64{}
	note := func(id string, layers []layer) {
		if _, err := d.b.options.Engine.Image(ctx, id); err == nil {
			for _, l := range layers {
				d.known[l.DiffID] = l.Size
			}
		}
	}
	for _, b := range d.bases {
		note(b.ID, b.Layers)
	}
	if d.state.Image != "" {
		note(d.state.Image, d.state.Layers)
	}
}

// clearExport begins the directory that buildah exports to anew. It lays out files
// with the names of layers that the engine has: buildah finds them and exports
// only the others. They take no room.
func (d *dockerfileBuild) clearExport() error {
	dir, ids := filepath.Join(d.work, "out"), int(d.b.options.IDMap)
	if err := errors.Join(os.RemoveAll(dir), makeDir(dir, ids, ids)); err != nil {
		return err
	}
	for _, name := range []string{"img", "blobs", "sha256"} {
		dir = filepath.Join(dir, name)
		if err := makeDir(dir, ids, ids); err != nil {
			return err
		}
	}
	for diffID, size := range d.known {
		hex, ok := digestHex(diffID)
		if !ok {
			continue
		}
		path := filepath.Join(dir, hex)
		if err := errors.Join(writeFile(path, "", ids, ids), os.Truncate(path, size)); err != nil {
			return err
		}
	}
	return nil
}

// build runs buildah.
func (d *dockerfileBuild) build(ctx context.Context, file string, declared []string) error {
	d.state.Builds++
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
		daemon.Mount{Source: d.req.Source, Target: "/ctx", ReadOnly: true},
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

// arguments hands over what the configuration has for builds, as far as the
// Dockerfile asks for it, and has its commands trust the CA bundle.
func (d *dockerfileBuild) arguments(declared []string) (args []string) {
	env := d.b.buildEnv()
	for _, name := range slices.Concat(declared, proxyArgs) {
		if value, ok := env[name]; ok {
			args = append(args, "--build-arg", name+"="+value)
		}
	}
	if d.b.options.CABundle != "" {
		args = append(args, "--volume", caPath+":"+caPath+":ro")
	}
	return args
}

var (
	lostMount = regexp.MustCompile(`couldn't find "?\\?"/var/lib/containers/storage/overlay/.* on host to bind mount`)
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

// deliver loads what buildah exported into the engine, under the wanted name.
func (d *dockerfileBuild) deliver(ctx context.Context) (daemon.Image, error) {
	image, layers, err := d.load(ctx)
	if err != nil && ctx.Err() == nil && len(d.known) > 0 {
		// A layer that the engine should have had was gone after all.
		if image, layers, err = d.exportAll(ctx); err != nil {
			return image, err
		}
	}
	if err != nil {
		return image, err
	}
	if err := d.b.options.Engine.TagImage(ctx, image.ID, d.req.Image); err != nil {
		return image, err
	}
	d.state.Image, d.state.Layers = image.ID, layers
	if err := d.state.write(d.dir); err != nil {
		return image, err
	}
	return d.b.options.Engine.Image(ctx, d.req.Image)
}

func (d *dockerfileBuild) load(ctx context.Context) (daemon.Image, []layer, error) {
	root, err := os.OpenRoot(filepath.Join(d.work, "out"))
	if err != nil {
		return daemon.Image{}, nil, err
	}
	defer root.Close()
	exported, err := readExport(root, d.known)
	if err != nil {
		return daemon.Image{}, nil, err
	}
	image, err := loadArchive(ctx, d.b.options.Engine, exported)
	return image, exported.layers(), err
}

// exportAll exports the image once more, with all its layers.
func (d *dockerfileBuild) exportAll(ctx context.Context) (daemon.Image, []layer, error) {
	d.known = nil
	if err := d.clearExport(); err != nil {
		return daemon.Image{}, nil, err
	}
	exit, err := d.run(ctx, "dockerfile", d.spec(exportScript, nil, nil), d.out)
	if err != nil {
		return daemon.Image{}, nil, err
	}
	if exit != 0 {
		return daemon.Image{}, nil, d.failed("can't export the image", exit)
	}
	return d.load(ctx)
}
