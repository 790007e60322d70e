package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func newSite(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := fstest.MapFS{}
	for name, text := range files {
		dir[name] = &fstest.MapFile{Data: []byte(text), ModTime: time.Unix(315532801, 0)} // as in an image
	}
	s := httptest.NewServer(newHandler(dir))
	t.Cleanup(s.Close)
	return s.URL
}

func get(t *testing.T, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestPages(t *testing.T) {
	site := newSite(t, map[string]string{
		"index.html": "home", "docs/index.html": "docs", "app.js": "run()", "404.html": "lost", ".env": "secret", ".git/config": "secret",
		".well-known/acme": "proof", "empty/file.txt": "x",
	})
	for _, c := range []struct {
		path   string
		status int
		want   string // of the body, or where it leads
	}{
		{"/", 200, "home"}, {"/index.html", 301, "./"}, {"/docs/", 200, "docs"}, {"/docs", 301, "docs/"}, {"/app.js", 200, "run()"},
		{"/nosuch", 404, "lost"}, {"/empty/", 404, "lost"}, {"/.env", 404, "lost"}, {"/.git/config", 404, "lost"}, {"/.", 200, "home"}, {"/app.js/", 404, "lost"}, {"/docs?a=1", 301, "docs/?a=1"},
		{"/../.env", 404, "lost"}, {"/%2e%2e/.env", 404, "lost"}, {"/.well-known/acme", 200, "proof"},
	} {
		resp, body := get(t, site+c.path)
		if resp.StatusCode == 301 {
			body = resp.Header.Get("Location")
		}
		if resp.StatusCode != c.status || body != c.want {
			t.Errorf("%s: %d %q, want %d %q", c.path, resp.StatusCode, body, c.status, c.want)
		}
	}
	r, err := http.Post(site+"/", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a POST: %d", r.StatusCode)
	}
}

// TestChangedPages: browsers notice a deploy, though all files have one time.
func TestChangedPages(t *testing.T) {
	before, after := newSite(t, map[string]string{"index.html": "one"}), newSite(t, map[string]string{"index.html": "two"})
	resp, _ := get(t, before+"/")
	tag := resp.Header.Get("ETag")
	if tag == "" || resp.Header.Get("Last-Modified") != "" {
		t.Fatalf("headers %v", resp.Header)
	}
	if resp, _ := get(t, before+"/", "If-None-Match", tag); resp.StatusCode != http.StatusNotModified {
		t.Errorf("the same page: %d", resp.StatusCode)
	}
	if resp, body := get(t, after+"/", "If-None-Match", tag); resp.StatusCode != http.StatusOK || body != "two" {
		t.Errorf("another page: %d %q", resp.StatusCode, body)
	}
}

func TestPartsAndCompression(t *testing.T) {
	text := strings.Repeat("words and more words. ", 1000)
	site := newSite(t, map[string]string{"long.txt": text, "index.html": "home"})
	if resp, body := get(t, site+"/long.txt", "Range", "bytes=6-8"); resp.StatusCode != http.StatusPartialContent || body != "and" {
		t.Errorf("a part: %d %q", resp.StatusCode, body)
	}
	resp, body := get(t, site+"/long.txt", "Accept-Encoding", "gzip")
	if resp.Header.Get("Content-Encoding") != "gzip" || len(body) > len(text)/4 || !strings.Contains(resp.Header.Get("Vary"), "Accept-Encoding") {
		t.Errorf("compressed: %d bytes, %v", len(body), resp.Header)
	}
	tag := resp.Header.Get("ETag")
	if resp, _ := get(t, site+"/long.txt", "Accept-Encoding", "gzip", "If-None-Match", tag); resp.StatusCode != http.StatusNotModified {
		t.Errorf("the same, compressed: %d, %s", resp.StatusCode, tag)
	}
}
