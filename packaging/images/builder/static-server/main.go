// Static-server serves a folder on $PORT: index.html for a folder, 404.html for
// what is not there, and nothing whose name begins with a dot but .well-known. Text is compressed. What
// browsers keep they ask for again, and are told by an ETag whether it has changed: the
// times of files are all the same in an image.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzhttp"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "static-server:", err)
		os.Exit(1)
	}
}

func serve() error {
	folder, port := ".", os.Getenv("PORT")
	if len(os.Args) > 1 {
		folder = os.Args[1]
	}
	if port == "" {
		port = "3000"
	}
	root, err := os.OpenRoot(folder) // a link that leads out of it is not followed
	if err != nil {
		return err
	}
	handler, err := newHandler(root.FS())
	if err != nil {
		return err
	}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	server := &http.Server{Addr: ":" + port, Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	fmt.Printf("serving %s on port %s\n", folder, port)
	select {
	case err := <-failed:
		return err
	case <-stop.Done():
	}
	ctx, done := context.WithTimeout(context.Background(), 30*time.Second)
	defer done()
	return server.Shutdown(ctx)
}

// newHandler serves the files.
func newHandler(files fs.FS) (http.Handler, error) {
	// What is compressed has a tag of its own: a part of it is none of the file.
	compress, err := gzhttp.NewWrapper(gzhttp.SuffixETag("-gzip"))
	if err != nil {
		return nil, err
	}
	return compress(&site{files: files}), nil
}

// types are those that neither Go knows by the file's name nor a look at the file tells.
var types = map[string]string{
	".csv": "text/csv; charset=utf-8", ".ics": "text/calendar; charset=utf-8", ".m3u8": "application/vnd.apple.mpegurl",
	".md": "text/markdown; charset=utf-8", ".txt": "text/plain; charset=utf-8", ".vtt": "text/vtt; charset=utf-8",
	".webmanifest": "application/manifest+json", ".xhtml": "application/xhtml+xml",
}

func init() {
	for ext, kind := range types {
		if mime.TypeByExtension(ext) == "" {
			_ = mime.AddExtensionType(ext, kind) // all of them are well formed
		}
	}
}

// site answers with the files of a folder, which do not change.
type site struct {
	files fs.FS
	tags  sync.Map // name -> ETag
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Cache-Control", "no-cache") // kept, and asked for again
	name, folder := path.Clean("/" + r.URL.Path)[1:], strings.HasSuffix(r.URL.Path, "/")
	isFolder := name == "" || s.is(name, fs.FileMode.IsDir)
	switch {
	case hidden(name):
		s.notFound(w)
	case isFolder && name != "" && !folder: // so that its links lead below it
		redirect(w, r, path.Base(name)+"/")
	case isFolder:
		s.serve(w, r, path.Join(name, index))
	case folder:
		s.notFound(w)
	case path.Base(name) == index:
		redirect(w, r, "./")
	default:
		s.serve(w, r, name)
	}
}

// index is the page of a folder.
const index = "index.html"

func redirect(w http.ResponseWriter, r *http.Request, to string) {
	location := url.URL{Path: to, RawQuery: r.URL.RawQuery}
	w.Header().Set("Location", location.String()) // http.Redirect would make it absolute
	w.WriteHeader(http.StatusMovedPermanently)
}

func hidden(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") && part != ".well-known" {
			return true
		}
	}
	return false
}

func (s *site) is(name string, kind func(fs.FileMode) bool) bool {
	info, err := fs.Stat(s.files, name)
	return err == nil && kind(info.Mode())
}

// serve answers with a file: parts of it where they are asked for, and nothing where the
// browser has it.
func (s *site) serve(w http.ResponseWriter, r *http.Request, name string) {
	if !s.is(name, fs.FileMode.IsRegular) {
		s.notFound(w)
		return
	}
	f, err := s.files.Open(name)
	if err != nil {
		s.notFound(w)
		return
	}
	defer func() { _ = f.Close() }() // it was only read
	content, ok := f.(io.ReadSeeker)
	if !ok {
		http.Error(w, "this can't be read", http.StatusInternalServerError)
		return
	}
	tag, err := s.tag(name, content)
	if err != nil {
		http.Error(w, "this can't be read", http.StatusInternalServerError)
		return
	}
	w.Header().Set("ETag", compressedTag(r, tag))
	http.ServeContent(w, r, name, time.Time{}, content)
}

// compressedTag is the tag of what the browser has, if that is the file compressed; else the
// file's own.
func compressedTag(r *http.Request, tag string) string {
	for _, suffix := range []string{"-gzip", "-zstd"} {
		compressed := strings.TrimSuffix(tag, `"`) + suffix + `"`
		if slices.ContainsFunc(r.Header.Values("If-None-Match"), func(has string) bool { return strings.Contains(has, compressed) }) {
			return compressed
		}
	}
	return tag
}

// tag is what a file is known by: the sum of its content, which is read once.
func (s *site) tag(name string, content io.ReadSeeker) (string, error) {
	if known, ok := s.tags.Load(name); ok {
		return known.(string), nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, content); err != nil {
		return "", err
	}
	tag := `"` + hex.EncodeToString(sum.Sum(nil)[:12]) + `"`
	s.tags.Store(name, tag)
	_, err := content.Seek(0, io.SeekStart)
	return tag, err
}

func (s *site) notFound(w http.ResponseWriter) {
	page, err := fs.ReadFile(s.files, "404.html")
	if err != nil {
		page = []byte("404: there is no such page\n")
	} else {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
	}
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write(page)
}
