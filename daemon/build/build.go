// Package build turns pushed source into an image, by a Dockerfile or by Cloud
// Native Buildpacks. It implements daemon.Builder.
//
// Source is code of a stranger. Whatever runs it does so in a container of its
// own user namespace, where root is nobody on the host, with no socket and no
// credentials. What comes out of there is read as a stranger's too.
package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"towline/daemon"
	"towline/daemon/work"
)

// Options configure a Builder. Engine, Name and Dir are required; without a
// builder image there are no buildpacks, without Dockerfile none of that kind.
type Options struct {
	Engine daemon.Engine
	// Name is the installation's: it begins the name of every container.
	Name string
	// Dir holds the working files of builds, and caches. It should be on a disk
	// with room for a few images.
	Dir string

	Builder    string // Cloud Native Buildpacks builder image
	Lifecycle  string // image that holds the lifecycle alone
	Dockerfile string // image that holds buildah

	Room Room // bounds of the disk

	Memory  int64         // bytes that one build may use; 0: unlimited
	Timeout time.Duration // of one build; 0: 15 minutes
	AtOnce  int           // builds that run at once; 0: as many as are asked for
	Disk    int64         // bytes of any one file that a build writes; 0: unlimited
	// Env is handed to every build: to buildpacks as their environment, to a
	// Dockerfile as those build arguments that it declares.
	Env map[string]string
	// Bases are the images of the engine that Dockerfiles may build upon, besides
	// the app's own: REGISTRY/PATH/*, REPOSITORY or REPOSITORY:TAG, written in full.
	Bases []string
	// CABundle is a file of certificates that builds trust. Empty: the image's.
	CABundle string
	// IDMap is where the user ids of builds begin on the host; 0: a range that
	// neither useradd nor systemd hands out.
	IDMap uint32
}

const (
	defaultIDMap   = 1_900_000_000
	defaultTimeout = 15 * time.Minute
	maxProcesses   = 2048  // of one build
	maxOpenFiles   = 16384 // of each of them
	cleanTimeout   = 30 * time.Second
)

// Builder builds apps. One app's builds must not overlap; different apps' may.
type Builder struct {
	options  Options
	apps     keyedMutex // held by a build of the app
	queue    work.Queue
	bases    baseStores
	allowed  allowedBases
	registry *registry
}

var _ daemon.Builder = (*Builder)(nil)

// New checks the options and makes the directories.
func New(options Options) (*Builder, error) {
	if options.Engine == nil || options.Name == "" || !filepath.IsAbs(options.Dir) {
		return nil, daemon.Errorf(daemon.Invalid, "a builder needs an engine, a name and an absolute directory")
	}
	options.Timeout = cmp.Or(options.Timeout, defaultTimeout)
	options.IDMap = cmp.Or(options.IDMap, defaultIDMap)
	allowed, err := newAllowedBases(options.Name, options.Bases)
	if err != nil {
		return nil, err
	}
	b := &Builder{options: options, allowed: allowed, queue: work.Queue{Most: options.AtOnce}}
	if err := os.RemoveAll(b.path("forgotten")); err != nil {
		return nil, err
	}
	// The users of builds pass through these directories, but can't list them.
	for _, dir := range []string{options.Dir, b.path("work"), b.path("apps"), b.path("bases"), b.path("forgotten")} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return nil, err
		}
	}
	b.bases.init(b)
	if b.registry, err = newRegistry(b.path("registry")); err != nil {
		return nil, err
	}
	return b, b.writeNestedConfig()
}

// Close ends nothing: builds end with their contexts.
func (b *Builder) Close() error { return b.registry.Close() }

func (b *Builder) path(elem ...string) string {
	return filepath.Join(append([]string{b.options.Dir}, elem...)...)
}

// Build builds req.Source into req.Image, by what choose says.
func (b *Builder) Build(ctx context.Context, req daemon.BuildRequest, out io.Writer) (daemon.BuildResult, error) {
	if err := checkNames(req); err != nil {
		return daemon.BuildResult{}, err
	}
	method, err := choose(req.Source, req.Choice)
	if err != nil {
		return daemon.BuildResult{}, err
	}
	if err := b.apps.Lock(ctx, req.App); err != nil {
		return daemon.BuildResult{}, err
	}
	defer b.apps.Unlock(req.App)
	said := newOutput(out)
	job := &job{b: b, req: req, out: said, work: b.path("work", req.ID), images: map[string]string{}}
	key, err := job.key(ctx, method)
	if err != nil {
		return daemon.BuildResult{}, err
	}
	if result, ok := job.again(ctx, key); ok {
		b.touch(req.App)
		for _, note := range method.notes {
			said.Warn(note)
		}
		said.Stage("Using the image of an earlier build: the source and all that it is built with are the same")
		said.Note("towline builds:purge forgets it, and the next push is built anew")
		return result, nil
	}
	leave, err := b.queue.Enter(ctx, func(running, before int) {
		ahead := ""
		if before > 0 {
			ahead = fmt.Sprintf(", and %d that came before", before)
		}
		said.Stage("Waiting for one of %d builds that run%s: at_once under [build] in towline.toml allows %d", running, ahead, b.options.AtOnce)
	})
	if err != nil {
		return daemon.BuildResult{}, err
	}
	defer leave()
	if err := b.makeRoom(ctx, req.App); err != nil {
		return daemon.BuildResult{}, err
	}
	defer func() {
		b.touch(req.App)
		if b.options.Room.Cache > 0 {
			_ = b.trim(context.WithoutCancel(ctx), b.options.Room.Cache, req.App) // tried again after the next one
		}
	}()

	tooLong := fmt.Errorf("the build took longer than %s", b.options.Timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, b.options.Timeout, tooLong)
	defer cancel()
	if err := os.Mkdir(job.work, 0o711); err != nil {
		return daemon.BuildResult{}, err
	}
	result, err := job.build(ctx, method)
	if cleanErr := b.Clean(context.WithoutCancel(ctx), req.ID); err == nil {
		err = cleanErr
	}
	if err == nil {
		job.remember(key, result)
	}
	if err != nil && errors.Is(context.Cause(ctx), tooLong) {
		err = daemon.Errorf(daemon.Failed, "%w", tooLong).WithHint("make the build quicker, or raise timeout under [build] in towline.toml")
	}
	return result, err
}

// job is one build.
type job struct {
	b    *Builder
	req  daemon.BuildRequest
	out  *output
	work string // private directory, removed at the end
	// images are those that the build was made with or upon: what it calls them, and
	// their IDs; empty: the engine had none.
	images map[string]string
}

func (j *job) build(ctx context.Context, m method) (daemon.BuildResult, error) {
	if m.dockerfile != "" {
		return j.buildDockerfile(ctx, m)
	}
	return j.buildBuildpacks(ctx, m)
}

// Clean removes the containers, the network and the files of the build id. Caches stay.
func (b *Builder) Clean(ctx context.Context, id string) error {
	if !plainName(id) {
		return daemon.Errorf(daemon.Invalid, "build id %q is not a plain name", id)
	}
	ctx, cancel := context.WithTimeout(ctx, cleanTimeout)
	defer cancel()
	var errs []error
	for _, phase := range phases {
		errs = append(errs, b.options.Engine.RemoveContainer(ctx, b.containerName(id, phase)))
	}
	// Only once nothing runs that could swap a directory for a link.
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := b.options.Engine.RemoveNetwork(ctx, b.network(id)); err != nil {
		return err
	}
	return os.RemoveAll(b.path("work", id))
}

// RemoveCaches forgets what was kept to make the app's next build quick.
func (b *Builder) RemoveCaches(ctx context.Context, app string) error {
	if !plainName(app) {
		return daemon.Errorf(daemon.Invalid, "app %q is not a plain name", app)
	}
	if err := b.apps.Lock(ctx, app); err != nil {
		return err
	}
	defer b.apps.Unlock(app)
	return b.forget(app)
}

// forget is RemoveCaches with the app's lock held. The caches go in one step: a half of one would
// mislead the next build.
func (b *Builder) forget(app string) error {
	gone, err := os.MkdirTemp(b.path("forgotten"), app+"-")
	if err != nil {
		return err
	}
	if err := os.Rename(b.path("apps", app), filepath.Join(gone, app)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return errors.Join(err, os.Remove(gone))
	}
	return errors.Join(os.RemoveAll(gone), b.registry.RemoveRepository(appRepository(app)), b.bases.Collect())
}

func checkNames(req daemon.BuildRequest) error {
	if !plainName(req.ID) || !plainName(req.App) {
		return daemon.Errorf(daemon.Invalid, "build %q of app %q: not plain names", req.ID, req.App)
	}
	return nil
}

// plainName tells whether s can be a file name and part of a container's.
func plainName(s string) bool {
	return s != "" && len(s) <= 200 && s[0] != '.' && s[0] != '-' &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}

// keyedMutex is a set of locks, made as they are asked for.
type keyedMutex struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed at unlock
}

// Lock waits for the lock of key. It fails only when ctx ends first.
func (k *keyedMutex) Lock(ctx context.Context, key string) error {
	for {
		k.mu.Lock()
		freed, held := k.held[key]
		if !held {
			if k.held == nil {
				k.held = map[string]chan struct{}{}
			}
			k.held[key] = make(chan struct{})
			k.mu.Unlock()
			return nil
		}
		k.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Unlock frees the lock of key.
func (k *keyedMutex) Unlock(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	close(k.held[key])
	delete(k.held, key)
}
