package build

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"towline/daemon"
	"towline/daemon/memory"
)

// tree writes files into a new directory: a value that begins with "-> " makes a link, and one
// that begins with "#!" a program.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch {
		case len(text) > 3 && text[:3] == "-> ":
			err = errors.Join(err, os.Symlink(text[3:], path))
		case len(text) > 2 && text[:2] == "#!":
			err = errors.Join(err, os.WriteFile(path, []byte(text), 0o755))
		default:
			err = errors.Join(err, os.WriteFile(path, []byte(text), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// again is a builder on an engine in memory, with a builder image, a lifecycle and a base.
type again struct {
	*Builder
	t      *testing.T
	engine *memory.Engine
}

func newAgain(t *testing.T, change ...func(*Options)) *again {
	t.Helper()
	engine := memory.NewEngine("test", t.TempDir(), nil)
	for _, name := range []string{"localhost/builder:1", "localhost/lifecycle:1", "localhost/base:1"} {
		engine.AddImage(daemon.Image{Refs: []string{name}})
	}
	return (&again{t: t, engine: engine}).reopen(t.TempDir(), change...)
}

func (a *again) reopen(dir string, change ...func(*Options)) *again {
	a.t.Helper()
	options := Options{Engine: a.engine, Name: "test", Dir: dir, Builder: "localhost/builder:1", Lifecycle: "localhost/lifecycle:1"}
	for _, c := range change {
		c(&options)
	}
	b, err := New(options)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = b.Close() })
	return &again{Builder: b, t: a.t, engine: a.engine}
}

// job is a build of the files, and the key that it has.
func (a *again) job(req daemon.BuildRequest, files map[string]string) (*job, string) {
	a.t.Helper()
	req.Source, req.Image = tree(a.t, files), "localhost/test/shop-2:1"
	j := &job{b: a.Builder, req: req, out: newOutput(nil), images: map[string]string{}}
	m, err := choose(req.Source, req.Choice)
	if err != nil {
		a.t.Fatal(err)
	}
	key, err := j.key(a.t.Context(), m)
	if err != nil {
		a.t.Fatal(err)
	}
	return j, key
}

// built remembers a build of the files, and returns its image.
func (a *again) built(req daemon.BuildRequest, files map[string]string) daemon.Image {
	a.t.Helper()
	j, key := a.job(req, files)
	for _, name := range []string{"localhost/builder:1", "localhost/base:1"} {
		if _, err := j.ensure(a.t.Context(), name); err != nil {
			a.t.Fatal(err)
		}
	}
	j.images["localhost/nowhere:1"] = ""
	if err := os.MkdirAll(a.path("apps", req.App), 0o711); err != nil {
		a.t.Fatal(err)
	}
	image := a.engine.AddImage(daemon.Image{Refs: []string{"localhost/test/shop-1:1"}})
	j.remember(key, daemon.BuildResult{Image: image, Kind: "buildpack", Processes: map[string]string{"web": "run it"}})
	return image
}

var (
	shop      = daemon.BuildRequest{ID: "shop-2", App: "shop", Env: map[string]string{"A": "1"}}
	shopFiles = map[string]string{"index.html": "hello", "bin/start": "#!/bin/sh", "empty": "", "link": "-> index.html"}
)

func TestSameBuildGivesItsImageAgain(t *testing.T) {
	a := newAgain(t)
	image := a.built(shop, shopFiles)
	j, key := a.job(shop, shopFiles)
	result, ok := j.again(t.Context(), key)
	if !ok || result.Image.ID != image.ID || result.Kind != "buildpack" || result.Processes["web"] != "run it" {
		t.Fatalf("%t, %+v", ok, result)
	}
	if got, err := a.engine.Image(t.Context(), j.req.Image); err != nil || got.ID != image.ID {
		t.Errorf("the name of the new build is that of %+v, error %v", got, err)
	}
}

// TestOtherBuildGivesNoImage changes one thing at a time that makes another image, or may.
func TestOtherBuildGivesNoImage(t *testing.T) {
	files := func(change map[string]string) map[string]string {
		all := maps.Clone(shopFiles)
		maps.Copy(all, change)
		return all
	}
	without := maps.Clone(shopFiles)
	delete(without, "empty")
	renamed := maps.Clone(without)
	renamed["void"] = ""
	for what, changed := range map[string]map[string]string{
		"contents": files(map[string]string{"index.html": "hallo"}), "a new file": files(map[string]string{"new": ""}), "a file less": without,
		"a link's target": files(map[string]string{"link": "-> bin"}), "a file for a link": files(map[string]string{"link": "index.html"}),
		"a mode": files(map[string]string{"bin/start": "!/bin/sh"}), "a name": renamed, "a Dockerfile": files(map[string]string{"Dockerfile": "FROM x"}),
	} {
		a := newAgain(t)
		a.built(shop, shopFiles)
		j, key := a.job(shop, changed)
		if _, ok := j.again(t.Context(), key); ok {
			t.Errorf("%s: taken for the same", what)
		}
	}
	for what, change := range map[string]func(*daemon.BuildRequest){
		"a config var": func(r *daemon.BuildRequest) { r.Env = map[string]string{"A": "2"} },
		"a choice":     func(r *daemon.BuildRequest) { r.Choice.Kind = daemon.BuildBuildpacks },
		"an app":       func(r *daemon.BuildRequest) { r.App = "other" },
	} {
		a := newAgain(t)
		a.built(shop, shopFiles)
		req := shop
		change(&req)
		j, key := a.job(req, shopFiles)
		if _, ok := j.again(t.Context(), key); ok {
			t.Errorf("%s: taken for the same", what)
		}
	}
	for what, change := range map[string]func(*Options){
		"the builder":  func(o *Options) { o.Builder = "localhost/builder:2" },
		"the settings": func(o *Options) { o.Env = map[string]string{"NPM_REGISTRY": "elsewhere"} },
		"the bases":    func(o *Options) { o.Bases = []string{"localhost/base:1"} },
	} {
		a := newAgain(t)
		a.built(shop, shopFiles)
		a = a.reopen(a.options.Dir, change)
		j, key := a.job(shop, shopFiles)
		if _, ok := j.again(t.Context(), key); ok {
			t.Errorf("%s: taken for the same", what)
		}
	}
	for what, change := range map[string]func(*again){
		"the base is another image": func(a *again) { a.engine.AddImage(daemon.Image{Refs: []string{"localhost/base:1"}}) },
		"a base came":               func(a *again) { a.engine.AddImage(daemon.Image{Refs: []string{"localhost/nowhere:1"}}) },
		"the image is gone": func(a *again) {
			if err := a.engine.UntagImage(t.Context(), "localhost/test/shop-1:1"); err != nil {
				t.Fatal(err)
			}
		},
		"the caches were removed": func(a *again) {
			if err := a.RemoveCaches(t.Context(), "shop"); err != nil {
				t.Fatal(err)
			}
		},
		"the list is damaged": func(a *again) {
			info, err := os.Stat(a.finishedPath("shop"))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Fatalf("%v, error %v", info, err)
			}
			if err := os.WriteFile(a.finishedPath("shop"), []byte(`[{"key":`), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		a := newAgain(t)
		a.built(shop, shopFiles)
		change(a)
		j, key := a.job(shop, shopFiles)
		if _, ok := j.again(t.Context(), key); ok {
			t.Errorf("%s: taken for the same", what)
		}
		a.built(shop, shopFiles)
		if _, ok := j.again(t.Context(), key); !ok && what != "the base is another image" && what != "a base came" {
			t.Errorf("%s: nothing was remembered afterwards", what)
		}
	}
}

// TestFinishedBuildsAreBounded: the newest are remembered.
func TestFinishedBuildsAreBounded(t *testing.T) {
	a := newAgain(t)
	for i := range keepFinished + 3 {
		a.built(shop, map[string]string{"index.html": fmt.Sprint(i)})
	}
	if got := len(a.finished("shop")); got != keepFinished {
		t.Errorf("%d are remembered", got)
	}
	a.built(shop, map[string]string{"index.html": "5"})
	if list := a.finished("shop"); len(list) != keepFinished || list[0].Key == list[1].Key {
		t.Error("a build that was made again is remembered twice")
	}
}

// TestHalfRemovedCachesAreNotMet: what a kill left of removed caches goes at the next start.
func TestHalfRemovedCachesAreNotMet(t *testing.T) {
	a := newAgain(t)
	left := a.path("forgotten", "shop-1", "shop")
	if err := os.MkdirAll(left, 0o711); err != nil {
		t.Fatal(err)
	}
	a = a.reopen(a.options.Dir)
	if entries, err := os.ReadDir(a.path("forgotten")); err != nil || len(entries) > 0 {
		t.Errorf("%v, error %v", entries, err)
	}
}
