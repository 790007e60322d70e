// Static-server serves a folder on $PORT: index.html for a folder, 404.html for
// what is not there, and nothing whose name begins with a dot but .well-known. Text is compressed. What
// browsers keep they ask for again, and are told by an ETag whether it has changed: the
// times of files are all the same in an image.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/signal"
	"path"
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
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	server := &http.Server{Addr: ":" + port, Handler: newHandler(root.FS()), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
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
func newHandler(files fs.FS) http.Handler {
	return gzhttp.GzipHandler(&site{files: files})
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
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", to) // http.Redirect would make it absolute
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
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "no-cache") // kept, and asked for again
	http.ServeContent(w, r, name, time.Time{}, content)
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
	if errors.Is(err, fs.ErrNotExist) {
		page = []byte("404: there is no such page\n")
	} else {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
	}
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write(page)
}
