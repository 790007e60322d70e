package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"towline/daemon"
)

// A buildpack build takes three containers. The first and the last hold only the
// lifecycle, and read and write the registry; what runs the app's code is the one
// between, which reaches neither the registry nor any socket. They pass files to
// each other in directories of the build's user.

// launcherPath is where the lifecycle puts its launcher in every image it makes.
const launcherPath = "/cnb/lifecycle/launcher"

// appDir is where the source is while it is built and in the image, and the home of its processes:
// on Heroku it is, and apps say so. The lifecycle's own choice would be /workspace.
const appDir = "/app"

// Exit codes of the lifecycle.
const (
	exitNoBuildpack  = 20
	exitDetectFailed = 21
)

// phaseMark begins a line by which the script tells which phase begins. Nothing
// is trusted to it but the looks of the output.
const phaseMark = "\x1e"

const buildpackScript = `
phase() { printf '\036%s\n' "$1"; }
cp /safe/analyzed.toml /layers/analyzed.toml || exit
phase detect
/cnb/lifecycle/detector -app /app -layers /layers ${ORDER:+-order "$ORDER"} || exit
phase restore
/cnb/lifecycle/restorer -cache-dir /cache -layers /layers -uid "$CNB_USER_ID" -gid "$CNB_GROUP_ID" || exit
phase build
/cnb/lifecycle/builder -app /app -layers /layers || exit
`

// buildpackBuild is what one build by buildpacks works with.
type buildpackBuild struct {
	*job
	method
	order    string // of the buildpacks; empty: the builder's own
	platform platform
	builder  daemon.Image
	runImage daemon.Image
	runName  string // which of the builder's names for it was found
	session  *session
	dir      string // of the app's cache
	state    appState
}

func (j *job) buildBuildpacks(ctx context.Context, m method) (daemon.BuildResult, error) {
	began := time.Now()
	p := &buildpackBuild{job: j, method: m, dir: j.b.path("apps", j.req.App, "buildpacks")}
	if err := p.agree(ctx); err != nil {
		return daemon.BuildResult{}, err
	}
	m.say(j.out, j.b.options.Builder)
	j.sayReplaced(j.b.options.Builder, p.builder.ID)
	j.sayReplaced(p.runName, p.runImage.ID)
	if err := p.leaveOut(ctx); err != nil {
		return daemon.BuildResult{}, err
	}
	if err := p.provideRunImage(ctx, p.runImage); err != nil {
		return daemon.BuildResult{}, err
	}
	var err error
	if p.session, err = j.b.registry.Open(appRepository(j.req.App), runRepository(p.runImage.ID)); err != nil {
		return daemon.BuildResult{}, err
	}
	image, err := p.phases(ctx)
	if err = errors.Join(err, p.session.Close()); err != nil {
		return daemon.BuildResult{}, unjoin(err)
	}
	if err := errors.Join(j.b.registry.forgetOtherRunImages(p.runImage.ID), j.b.registry.Collect()); err != nil {
		return daemon.BuildResult{}, err
	}
	processes, err := parseProcesses(image.Labels[processesLabel])
	if err != nil {
		return daemon.BuildResult{}, fmt.Errorf("the image's label %s: %w", processesLabel, err)
	}
	j.out.Stage("Build succeeded in %.1f s", time.Since(began).Seconds())
	return daemon.BuildResult{Image: image, Kind: "buildpack", Launcher: []string{launcherPath}, Processes: processes}, nil
}

// unjoin takes an error for the user out of a list that holds nothing else.
func unjoin(err error) error {
	if list, ok := err.(interface{ Unwrap() []error }); ok && len(list.Unwrap()) == 1 {
		return list.Unwrap()[0]
	}
	return err
}

// agree finds the images, and how the two lifecycles can work together.
func (p *buildpackBuild) agree(ctx context.Context) error {
	options := p.b.options
	if options.Builder == "" || options.Lifecycle == "" {
		return daemon.Errorf(daemon.Failed, "the source has no Dockerfile, and no buildpacks are configured").
			WithHint("commit a Dockerfile at the top of the repository, or set builder and lifecycle under [build] in towline.toml")
	}
	var err error
	if p.builder, err = p.ensure(ctx, options.Builder); err != nil {
		return err
	}
	lifecycle, err := p.ensure(ctx, options.Lifecycle)
	if err != nil {
		return err
	}
	if p.platform, err = parsePlatform(p.builder, lifecycle); err != nil {
		return daemon.Errorf(daemon.Failed, "can't use the builder image %s: %w", options.Builder, err).
			WithHint("name a Cloud Native Buildpacks builder as builder under [build] in towline.toml")
	}
	if p.order, err = p.project.order(p.platform.Buildpacks); err != nil {
		return err
	}
	if p.order == "" {
		if err := p.platform.checkLanguage(p.req.Source); err != nil {
			return err
		}
	}
	for _, p.runName = range p.platform.RunImages {
		if p.runImage, err = p.ensure(ctx, p.runName); err == nil {
			return nil
		}
	}
	return fmt.Errorf("the builder's run image: %w", err)
}

// leaveOut removes what project.toml has no build see.
func (p *buildpackBuild) leaveOut(ctx context.Context) error {
	n, err := p.project.leaveOut(ctx, p.req.Source)
	if err == nil && n > 0 {
		p.out.Note("project.toml leaves %d files out", n)
	}
	return err
}

// phases runs the three containers and hands the result to the engine.
func (p *buildpackBuild) phases(ctx context.Context) (daemon.Image, error) {
	if err := p.prepare(); err != nil {
		return daemon.Image{}, err
	}
	if err := p.trusted(ctx, "analyze", "analyzer", "-run-image", p.runReference()); err != nil {
		return daemon.Image{}, err
	}
	if err := p.build(ctx); err != nil {
		return daemon.Image{}, err
	}
	p.out.Stage("Exporting the image")
	if err := p.trusted(ctx, "export", "exporter", "-app", appDir, "-cache-dir", "/cache"); err != nil {
		return daemon.Image{}, err
	}
	return p.deliver(ctx)
}

// ids are the host's ids of the build's user.
func (p *buildpackBuild) ids() (uid, gid int) {
	return int(p.b.options.IDMap) + p.platform.UID, int(p.b.options.IDMap) + p.platform.GID
}

func (p *buildpackBuild) runReference() string {
	return p.session.Address + "/" + runRepository(p.runImage.ID) + ":" + runTag
}

func (p *buildpackBuild) appReference() string {
	return p.session.Address + "/" + appRepository(p.req.App) + ":latest"
}

func (p *buildpackBuild) path(name string) string { return filepath.Join(p.work, name) }

// prepare lays out what the containers mount.
func (p *buildpackBuild) prepare() error {
	uid, gid := p.ids()
	if err := os.MkdirAll(p.dir, 0o711); err != nil {
		return err
	}
	var err error
	if p.state, err = readAppState(p.dir); err != nil {
		return err
	}
	for _, name := range []string{"layers", "platform", "platform/env", "safe", "tmp"} {
		if err := makeDir(p.path(name), uid, gid); err != nil {
			return err
		}
	}
	// Another builder may have another user: whose cache is not its own gets a
	// new one.
	cache := filepath.Join(p.dir, "cache")
	if !ownedBy(cache, uid, gid) {
		if err := errors.Join(os.RemoveAll(cache), makeDir(cache, uid, gid)); err != nil {
			return err
		}
	}
	if p.order != "" {
		if err := writeFile(p.path("safe/order.toml"), p.order, uid, gid); err != nil {
			return err
		}
	}
	env := p.b.buildEnv()
	maps.Copy(env, p.project.env)
	maps.Copy(env, p.req.Env)
	for name, value := range env {
		if name == "" || strings.ContainsAny(name, "/\x00") || name == "." || name == ".." {
			return daemon.Errorf(daemon.Invalid, "config var %q can't be handed to a build", name)
		}
		if err := writeFile(p.path("platform/env/"+name), value, uid, gid); err != nil {
			return err
		}
	}
	run := fmt.Sprintf("[[images]]\nimage = %q\nmirrors = [%q]\n", p.platform.RunImages[0], p.runReference())
	if err := writeFile(p.path("run.toml"), run, uid, gid); err != nil {
		return err
	}
	// Builders may run apps as another user of the same group.
	return handOver(p.req.Source, uid, gid, true)
}

// user is that of all three containers.
func (p *buildpackBuild) user() string {
	return strconv.Itoa(p.platform.UID) + ":" + strconv.Itoa(p.platform.GID)
}

// trusted runs a phase of the lifecycle alone, with access to the registry.
func (p *buildpackBuild) trusted(ctx context.Context, phase, program string, args ...string) error {
	auth, err := json.Marshal(map[string]string{p.session.Address: p.session.Authorization()})
	if err != nil {
		return err
	}
	id := strconv.Itoa
	args = append(args, "-analyzed", "/safe/analyzed.toml", "-layers", "/layers",
		"-uid", id(p.platform.UID), "-gid", id(p.platform.GID), p.appReference())
	said := newOutput(nil)
	exit, err := p.run(ctx, phase, daemon.ContainerSpec{
		Image:      p.b.options.Lifecycle,
		Entrypoint: []string{"/cnb/lifecycle/" + program},
		Command:    args,
		Env: map[string]string{
			"CNB_PLATFORM_API":  p.platform.API,
			"CNB_REGISTRY_AUTH": string(auth),
			"CNB_NO_COLOR":      "true",
			"SOURCE_DATE_EPOCH": strconv.FormatInt(time.Now().Unix(), 10), // else the image is of 1980
		},
		User:        p.user(),
		WorkDir:     "/",
		HostNetwork: true, // the registry listens on loopback
		ReadOnly:    true,
		CapDrop:     []string{"ALL"},
		Mounts: []daemon.Mount{
			{Source: p.path("layers"), Target: "/layers"},
			{Source: p.path("safe"), Target: "/safe"},
			{Source: p.path("run.toml"), Target: "/cnb/run.toml", ReadOnly: true},
			{Source: p.path("tmp"), Target: "/tmp"},
			{Source: filepath.Join(p.dir, "cache"), Target: "/cache"},
			{Source: p.req.Source, Target: appDir},
		},
	}, said)
	if err == nil && exit != 0 {
		return daemon.Errorf(daemon.Failed, "the %s of the lifecycle failed: %s", program, said.Cause())
	}
	return err
}

// build runs the buildpacks.
func (p *buildpackBuild) build(ctx context.Context) error {
	spec := daemon.ContainerSpec{
		Image:      p.b.options.Builder,
		Entrypoint: []string{"sh", "-c", buildpackScript},
		Command:    []string{"build"}, // $0, in messages
		Env:        map[string]string{"CNB_PLATFORM_API": p.platform.API, "CNB_NO_COLOR": "true"},
		User:       p.user(),
		WorkDir:    "/layers",
		Networks:   []daemon.Attachment{{Network: p.b.network(p.req.ID)}},
		CapDrop:    []string{"ALL"},
		Init:       true,
		Mounts: p.b.trust([]daemon.Mount{
			{Source: p.path("layers"), Target: "/layers"},
			{Source: p.path("safe"), Target: "/safe", ReadOnly: true},
			{Source: p.path("platform"), Target: "/platform", ReadOnly: true},
			{Source: filepath.Join(p.dir, "cache"), Target: "/cache"},
			{Source: p.req.Source, Target: appDir},
		}),
	}
	if p.order != "" {
		spec.Env["ORDER"] = "/safe/order.toml"
	}
	p.out.Stage("Detecting what the source is")
	p.out.Filter(p.filter())
	exit, err := p.run(ctx, "build", spec, p.out)
	p.out.Filter(nil)
	if err != nil {
		return err
	}
	switch exit {
	case 0:
		return nil
	case exitNoBuildpack:
		if p.order != "" {
			return daemon.Errorf(daemon.Failed, "the buildpacks that project.toml names do not all find what they look for at the top of the source").
				WithHint("they are: %s; take out of [[io.buildpacks.group]] what has nothing to build", p.project.names())
		}
		return daemon.Errorf(daemon.Failed, "no buildpack knows how to build the source").
			WithHint("at its top it needs one of: %s", p.platform.lookedFor())
	case exitDetectFailed:
		return p.failed("no buildpack could tell whether it builds the source", exit)
	default:
		return p.failed("build failed", exit)
	}
}

var detectNoise = regexp.MustCompile(`^(======== |(skip|fail|pass): |ERROR: (No buildpack groups|Please check|failed to detect))`)

// filter shows of the lifecycle's own words what a user wants to know.
func (p *buildpackBuild) filter() func(line string) (string, bool) {
	phase := ""
	return func(line string) (string, bool) {
		if name, ok := strings.CutPrefix(line, phaseMark); ok {
			phase = name
			if phase == "build" {
				return "-----> Building", true
			}
			return "", false
		}
		switch {
		case phase == "detect" && strings.HasSuffix(line, " buildpacks participating"),
			phase == "detect" && detectNoise.MatchString(line),
			phase == "restore" && strings.HasPrefix(line, "Restoring "),
			strings.HasPrefix(line, "Timer: "), strings.HasPrefix(line, "target distro name/version labels"):
			return "", false
		}
		return line, true
	}
}
