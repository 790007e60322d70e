// Static-server serves a folder on $PORT: index.html for a folder, 404.html for
// what is not there, and nothing whose name begins with a dot.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/signal"
	"path"
	"strings"
	"syscall"
	"time"
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
	server := &http.Server{Addr: ":" + port, Handler: site{root.FS()}, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
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

// site answers with the files of a folder.
type site struct{ files fs.FS }

func (s site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	if !s.shown(name) {
		s.notFound(w)
		return
	}
	http.ServeFileFS(w, r, s.files, name)
}

// shown tells whether name is a file, or a folder with an index.html, and no
// part of it is hidden.
func (s site) shown(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") && part != ".well-known" {
			return false
		}
	}
	if name == "" {
		name = "."
	}
	info, err := fs.Stat(s.files, name)
	if err == nil && info.IsDir() {
		info, err = fs.Stat(s.files, path.Join(name, "index.html"))
	}
	return err == nil && info.Mode().IsRegular()
}

func (s site) notFound(w http.ResponseWriter) {
	page, err := fs.ReadFile(s.files, "404.html")
	if errors.Is(err, fs.ErrNotExist) {
		page = []byte("404: there is no such page\n")
	} else {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
	}
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write(page)
}
