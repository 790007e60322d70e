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
	handler, err := newHandler(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(handler)
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
		".well-known/acme": "proof", "empty/file.txt": "x", "a:b/index.html": "colon", "what? 100%/index.html": "signs", "line\nfeed/index.html": "line",
	})
	for _, c := range []struct {
		path   string
		status int
		want   string // of the body, or where it leads
	}{
		{"/", 200, "home"}, {"/index.html", 301, "./"}, {"/docs/", 200, "docs"}, {"/docs", 301, "docs/"}, {"/app.js", 200, "run()"},
		{"/nosuch", 404, "lost"}, {"/empty/", 404, "lost"}, {"/.env", 404, "lost"}, {"/.git/config", 404, "lost"}, {"/.", 200, "home"}, {"/app.js/", 404, "lost"}, {"/docs?a=1", 301, "docs/?a=1"},
		{"/../.env", 404, "lost"}, {"/%2e%2e/.env", 404, "lost"}, {"/.well-known/acme", 200, "proof"},
		{"/a:b", 301, "./a:b/"}, {"/what%3F%20100%25", 301, "what%3F%20100%25/"}, {"/what%3F%20100%25/", 200, "signs"}, {"/line%0Afeed", 301, "line%0Afeed/"},
	} {
		resp, body := get(t, site+c.path)
		if resp.StatusCode == 301 {
			body = resp.Header.Get("Location")
		}
		if resp.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: browsers may keep it for as long as they like: %v", c.path, resp.Header)
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

// TestPartsOfWhatWasCompressed: a browser that has a part of a compressed answer gets no part
// of the file to put behind it.
func TestPartsOfWhatWasCompressed(t *testing.T) {
	text := strings.Repeat("words and more words. ", 1000)
	site := newSite(t, map[string]string{"long.txt": text})
	plain, _ := get(t, site+"/long.txt", "Accept-Encoding", "identity")
	for _, coding := range []string{"gzip", "zstd"} {
		resp, _ := get(t, site+"/long.txt", "Accept-Encoding", coding)
		tag := resp.Header.Get("ETag")
		if resp.Header.Get("Content-Encoding") != coding || tag == plain.Header.Get("ETag") {
			t.Errorf("%s: %v; the file has the tag %s", coding, resp.Header, plain.Header.Get("ETag"))
		}
		if resp, body := get(t, site+"/long.txt", "Accept-Encoding", coding, "Range", "bytes=100-", "If-Range", tag); resp.StatusCode != http.StatusOK {
			t.Errorf("the rest of %s: %d, %d bytes", coding, resp.StatusCode, len(body))
		}
		resp, _ = get(t, site+"/long.txt", "Accept-Encoding", coding, "If-None-Match", `"other", W/`+tag)
		if resp.StatusCode != http.StatusNotModified || resp.Header.Get("ETag") != tag {
			t.Errorf("the same %s: %d, %v", coding, resp.StatusCode, resp.Header)
		}
	}
	if resp, body := get(t, site+"/long.txt", "Accept-Encoding", "identity", "Range", "bytes=21990-", "If-Range", plain.Header.Get("ETag")); resp.StatusCode != http.StatusPartialContent || body != text[21990:] {
		t.Errorf("the rest of the file: %d, %d bytes", resp.StatusCode, len(body))
	}
	if resp, body := get(t, site+"/long.txt", "Accept-Encoding", "gzip;q=0, zstd;q=0, br"); resp.Header.Get("Content-Encoding") != "" || body != text {
		t.Errorf("it was compressed all the same: %v", resp.Header)
	}
}

func TestTypes(t *testing.T) {
	site := newSite(t, map[string]string{"robots.txt": "<!DOCTYPE html> is no page", "app.webmanifest": "{}", "a.js": "1", "a.wasm": "x", "a.css": "a{}", "a.svg": "<svg/>", "a.html": "x", "plain": "text"})
	for name, want := range map[string]string{
		"robots.txt": "text/plain", "app.webmanifest": "application/manifest+json", "a.js": "text/javascript", "a.wasm": "application/wasm",
		"a.css": "text/css", "a.svg": "image/svg+xml", "a.html": "text/html", "plain": "text/plain",
	} {
		if resp, _ := get(t, site+"/"+name); !strings.HasPrefix(resp.Header.Get("Content-Type"), want) {
			t.Errorf("%s: %s, want %s", name, resp.Header.Get("Content-Type"), want)
		}
	}
}
