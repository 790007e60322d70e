package build

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"towline/daemon"
)

// A push of what was built before takes the image of that build again: an empty commit, a revert, a
// push that was refused for something that is mended by now. What counts as the same is the source
// byte for byte, the way of building it, what is handed to the build, and the images that it was
// made with or upon.

const (
	// keepFinished bounds the builds of an app that are remembered so.
	keepFinished = 10
	// finishedVersion is another whenever Towline makes something else of the same.
	finishedVersion = 1
)

// finished is a build that has made an image.
type finished struct {
	Key    string             `json:"key"`
	Images map[string]string  `json:"images"` // as in job
	Result daemon.BuildResult `json:"result"`
}

func (b *Builder) finishedPath(app string) string { return b.path("apps", app, "finished.json") }

// finished are the builds of the app that are remembered, newest first. A damaged list is empty: it
// costs slow builds.
func (b *Builder) finished(app string) (list []finished) {
	text, err := os.ReadFile(b.finishedPath(app))
	if err != nil || json.Unmarshal(text, &list) != nil {
		return nil
	}
	return list
}

// again gives the image of a build that had the same key the name that this build wants. False: it
// has to be built.
func (j *job) again(ctx context.Context, key string) (daemon.BuildResult, bool) {
	engine := j.b.options.Engine
	for _, f := range j.b.finished(j.req.App) {
		if f.Key != key || !j.sameImages(ctx, f.Images) {
			continue
		}
		// An image that nothing had a name for is gone.
		if _, err := engine.Image(ctx, f.Result.Image.ID); err != nil {
			continue
		}
		if err := engine.TagImage(ctx, f.Result.Image.ID, j.req.Image); err != nil {
			continue
		}
		image, err := engine.Image(ctx, j.req.Image)
		if err != nil || image.ID != f.Result.Image.ID {
			continue
		}
		f.Result.Image = image
		return f.Result, true
	}
	return daemon.BuildResult{}, false
}

// sameImages tells whether the names stand for the images that they stood for.
func (j *job) sameImages(ctx context.Context, images map[string]string) bool {
	for name, id := range images {
		image, err := j.b.options.Engine.Image(ctx, name)
		if daemon.IsKind(err, daemon.NotFound) {
			image, err = daemon.Image{}, nil
		}
		if err != nil || image.ID != id {
			return false
		}
	}
	return true
}

// remember keeps what was built under its key. What can't be kept is built again.
func (j *job) remember(key string, result daemon.BuildResult) {
	list := slices.DeleteFunc(j.b.finished(j.req.App), func(f finished) bool { return f.Key == key })
	list = slices.Insert(list, 0, finished{Key: key, Images: j.images, Result: result})
	text, err := json.Marshal(list[:min(len(list), keepFinished)])
	if err == nil {
		_ = replaceFile(j.b.finishedPath(j.req.App), text)
	}
}

// key names everything that the build is made of, but for the images.
func (j *job) key(ctx context.Context, m method) (string, error) {
	h := sha256.New()
	about := struct {
		Version                        int
		Choice                         daemon.BuilderChoice
		Builder, Lifecycle, Dockerfile string
		Bases                          []string
		Env                            map[string]string // of all builds
		Config                         map[string]string // of the app
	}{Version: finishedVersion, Choice: j.req.Choice, Bases: j.b.options.Bases, Env: j.b.buildEnv()}
	if m.dockerfile != "" {
		about.Dockerfile = j.b.options.Dockerfile
	} else {
		about.Builder, about.Lifecycle, about.Config = j.b.options.Builder, j.b.options.Lifecycle, j.req.Env
	}
	if err := json.NewEncoder(h).Encode(about); err != nil {
		return "", err
	}
	if err := hashTree(ctx, h, j.req.Source); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// hashTree adds to h what is below dir: each file, directory and link with its path and mode, in
// the order of their names, and the contents. Nothing may run in dir meanwhile.
func hashTree(ctx context.Context, h hash.Hash, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	put := func(text string) { // so that no two trees run together into the same
		_ = binary.Write(h, binary.BigEndian, int64(len(text)))
		_, _ = io.WriteString(h, text)
	}
	return fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		put(filepath.ToSlash(path))
		put(info.Mode().String())
		switch {
		case info.Mode().Type() == fs.ModeSymlink:
			target, err := root.Readlink(path)
			put(target)
			return err
		case !info.Mode().IsRegular():
			return nil
		}
		file, err := root.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		defer file.Close()
		_ = binary.Write(h, binary.BigEndian, info.Size())
		_, err = io.Copy(h, file)
		return err
	})
}
