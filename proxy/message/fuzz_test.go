package message_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"towline/proxy/message"
)

// FuzzRequest holds the parser of requests against net/http's: what both accept, head
// and body, they must read alike. What net/http accepts may be refused here; the
// reverse needs a reason, see mayDiffer.
func FuzzRequest(f *testing.F) {
	for _, text := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http://a:80?x=%41 HTTP/1.0\r\nConnection: keep-alive, x\r\nPragma: no-cache\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nX-A:\t b \r\nx-a: c\r\n\r\n",
		"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345GET / HTTP/1.1\r\n\r\n",
		"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-B\r\n\r\n5;a=b\r\n12345\r\n0\r\nX-B: c\r\n\r\n",
		"POST /x HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rd := message.Reader{Src: bytes.NewReader(data)}
		head, err := rd.Head(64 << 10)
		if err != nil {
			return
		}
		var h message.Head
		if h.ParseRequest(head) != nil {
			return
		}
		whole := string(head) + string(rd.Buffered())
		rest, _ := io.ReadAll(rd.Src)
		whole += string(rest)
		rd.Src = bytes.NewReader(rest)
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(whole)))
		if err != nil {
			if !mayDiffer(&h, err) {
				t.Fatalf("accepted, net/http says %v: %q", err, whole)
			}
			return
		}
		compareHeads(t, &h, r)
		mine, mineErr := readBody(&h, &rd)
		theirs, theirErr := io.ReadAll(r.Body)
		if mineErr == nil && theirErr != nil && !tooMuchOverhead(theirErr) && !badTrailer(theirErr) && !spacedExtension.MatchString(whole) {
			t.Fatalf("body %q accepted, net/http says %v: %q", mine, theirErr, whole)
		}
		if mineErr == nil && theirErr == nil && string(mine) != string(theirs) {
			t.Fatalf("body %q, net/http reads %q: %q", mine, theirs, whole)
		}
	})
}

// mayDiffer says why net/http may refuse a head that is accepted here.
func mayDiffer(h *message.Head, err error) bool {
	// The target is handed on byte for byte and is for the app to judge: net/http parses
	// it as a URL, and refuses odd percent signs or a query of odd bytes.
	if _, bad := url.ParseRequestURI(h.Target); bad != nil && h.Target != "*" {
		return true
	}
	// An announcement of trailers binds nobody. Trailers that frame or route are dropped,
	// announced or not.
	return strings.Contains(err.Error(), "bad trailer key")
}

// tooMuchOverhead: net/http gives a body up whose chunk extensions outweigh its data.
// Here each line has a bound, nothing is kept, and the pace of the data counts.
func tooMuchOverhead(err error) bool {
	return strings.Contains(err.Error(), "too much non-data")
}

// spacedExtension: white space before the semicolon must be read as if it were not
// there (RFC 9112 7.1.1); net/http refuses it.
var spacedExtension = regexp.MustCompile(`[0-9a-fA-F][ \t]+;`)

// badTrailer: net/http reads trailers as it reads heads, within what is left of its
// buffer of 4 KiB; here they have a bound of their own.
func badTrailer(err error) bool { return strings.Contains(err.Error(), "trailer") }

func compareHeads(t *testing.T, h *message.Head, r *http.Request) {
	t.Helper()
	type view struct {
		method, host, length string
		minor                int
		close                bool
	}
	mine := view{h.Method, h.Host, fmt.Sprint(h.Length), h.Minor, h.Close || h.Minor == 0 && !h.KeepAlive}
	theirs := view{r.Method, r.Host, fmt.Sprint(r.ContentLength), r.ProtoMinor, r.Close}
	switch {
	case h.Chunked:
		mine.length = "chunked"
	case h.Length < 0: // no Content-Length
		mine.length = "0"
	}
	if len(r.TransferEncoding) > 0 {
		theirs.length = r.TransferEncoding[0]
	}
	if mine != theirs {
		t.Fatalf("read as %+v, by net/http as %+v", mine, theirs)
	}
	want := r.RequestURI
	if r.URL.Host != "" {
		want = r.URL.RequestURI()
		if r.Method == "OPTIONS" && !strings.ContainsAny(strings.SplitN(r.RequestURI, "://", 2)[1], "/?") {
			want = "*"
		}
		if want != h.Target { // net/http writes it anew, with other escapes
			got, err := url.ParseRequestURI(h.Target)
			if err == nil && got.Path == r.URL.Path && got.RawQuery == r.URL.RawQuery {
				want = h.Target
			}
		}
	}
	if h.Target != want {
		t.Fatalf("target %q, of net/http %q", h.Target, want)
	}
	fields := http.Header{}
	for _, f := range h.Fields {
		name := textproto.CanonicalMIMEHeaderKey(f.Name)
		fields[name] = append(fields[name], f.Value)
	}
	for name := range r.Header {
		if name == "Cache-Control" && r.Header.Get("Pragma") == "no-cache" {
			continue // net/http adds it
		}
		if fmt.Sprint(fields[name]) != fmt.Sprint(r.Header[name]) {
			t.Fatalf("%s: %q, of net/http %q", name, fields[name], r.Header[name])
		}
	}
	for name := range fields {
		switch name {
		case "Host", "Transfer-Encoding", "Trailer", "Content-Length": // taken out by net/http
			continue
		}
		if r.Header[name] == nil {
			t.Fatalf("%s: %q, of net/http none", name, fields[name])
		}
	}
}

func readBody(h *message.Head, rd *message.Reader) ([]byte, error) {
	var b message.Body
	switch {
	case h.Chunked:
		b.Start(rd, message.ByChunks, 0)
	case h.Length > 0:
		b.Start(rd, message.ByLength, h.Length)
	default:
		b.Start(rd, message.NoBody, 0)
	}
	return io.ReadAll(&b)
}

// FuzzChunks reads a chunked body that comes at once, byte by byte, and byte by byte with
// a timeout before each: it must be the same body, and the one that net/http reads.
func FuzzChunks(f *testing.F) {
	for _, text := range []string{
		"0\r\n\r\n",
		"5\r\n12345\r\n0\r\n\r\nnext",
		"a;x=\"y\"\r\n1234567890\r\n00\r\nX-A: b\r\nHost: c\r\n\r\n",
		"1\r\na\r\n2 ;\r\nbc\r\n0\r\n\r\n",
		"5\n12345\n0\n\n",
		"1;" + strings.Repeat("x", 1021) + "\r\na\r\n0\r\n\r\n", // as long as a size line may be, with its CR
		"1;" + strings.Repeat("x", 1022) + "\r\na\r\n0\r\n\r\n",
		"1;" + strings.Repeat("x", 1100) + "\r\na\r\n0\r\n\r\n",
		"1\r\na" + strings.Repeat("x", 20) + "\r\n0\r\n\r\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4<<10 {
			return // byte by byte, each line is scanned anew with each byte
		}
		first := readChunks(bytes.NewReader(data))
		for name, src := range map[string]io.Reader{
			"byte by byte":  &drips{data: data},
			"with timeouts": &drips{data: data, timeouts: true},
		} {
			if got := readChunks(src); got != first {
				t.Fatalf("%s: %q, at once: %q", name, got, first)
			}
		}
		if first.err != "" {
			return
		}
		theirs, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(data)))
		if err != nil && !tooMuchOverhead(err) && !spacedExtension.Match(data) {
			t.Fatalf("%q accepted, net/http says %v", data, err)
		}
		if err == nil && string(theirs) != first.body {
			t.Fatalf("%q read as %q, by net/http as %q", data, first.body, theirs)
		}
	})
}

// chunksRead is what became of a body, and what was left behind it.
type chunksRead struct{ body, trailers, rest, err string }

func readChunks(src io.Reader) (got chunksRead) {
	rd := &message.Reader{Src: src}
	var b message.Body
	b.Start(rd, message.ByChunks, 0)
	buf := make([]byte, 100)
	var body []byte
	for {
		n, err := b.Read(buf)
		body = append(body, buf[:n]...)
		switch {
		case err == nil, errors.Is(err, os.ErrDeadlineExceeded):
			continue
		case err != io.EOF:
			got.err = err.Error() // how much came before does not matter
			return got
		}
		rest, _ := io.ReadAll(patient{rd.Src})
		got.rest = string(rd.Buffered()) + string(rest)
		got.body = string(body)
		got.trailers = fmt.Sprint(b.Trailers)
		return got
	}
}

// drips gives one byte at a time.
type drips struct {
	data     []byte
	timeouts bool
	waited   bool
}

func (d *drips) Read(p []byte) (int, error) {
	if d.timeouts && !d.waited {
		d.waited = true
		return 0, os.ErrDeadlineExceeded
	}
	d.waited = false
	if len(d.data) == 0 {
		return 0, io.EOF
	}
	p[0] = d.data[0]
	d.data = d.data[1:]
	return 1, nil
}

// patient reads on after a timeout.
type patient struct{ io.Reader }

func (p patient) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return n, err
}
