package build

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"towline/daemon"
)

// session is the registry as one build sees it.
type session struct {
	registry *registry
	// Address is host and port. User and Password are the session's own.
	Address        string
	User, Password string

	write        string
	repositories map[string]bool
	server       *http.Server

	mu      sync.Mutex
	uploads map[string]*upload
}

type upload struct {
	mu   sync.Mutex
	file *os.File
	sum  hash.Hash
}

// Open starts a session that may write one repository and read it and others.
func (r *registry) Open(write string, read ...string) (*session, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, daemon.Errorf(daemon.Unavailable, "listen for the build: %w", err)
	}
	s := &session{
		registry: r, Address: listener.Addr().String(), User: "build", Password: rand.Text(),
		write: write, repositories: map[string]bool{write: true}, uploads: map[string]*upload{},
	}
	for _, name := range read {
		s.repositories[name] = true
	}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	r.mu.Lock()
	r.sessions++
	r.mu.Unlock()
	go func() { _ = s.server.Serve(listener) }()
	return s, nil
}

// Close ends the session and drops what was not uploaded in full.
func (s *session) Close() error {
	err := s.server.Close()
	s.mu.Lock()
	for id, u := range s.uploads {
		err = errors.Join(err, u.file.Close(), os.Remove(u.file.Name()))
		delete(s.uploads, id)
	}
	s.mu.Unlock()
	s.registry.mu.Lock()
	s.registry.sessions--
	s.registry.mu.Unlock()
	return err
}

// Authorization is the value of the header that lets a client in.
func (s *session) Authorization() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(s.User+":"+s.Password))
}

var registryPath = regexp.MustCompile(`^/v2/([a-z0-9._/-]+)/(blobs|manifests|blobs/uploads)/([A-Za-z0-9._:-]*)$`)

// ServeHTTP speaks the parts of the distribution protocol named in the methods.
func (s *session) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	user, password, _ := req.BasicAuth()
	if subtle.ConstantTimeCompare([]byte(user+":"+password), []byte(s.User+":"+s.Password)) != 1 {
		w.Header().Set("WWW-Authenticate", `Basic realm="towline"`)
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
		return
	}
	if req.URL.Path == "/v2/" || req.URL.Path == "/v2" {
		return
	}
	m := registryPath.FindStringSubmatch(req.URL.Path)
	if m == nil || !filepath.IsLocal(m[1]) {
		refuse(w, http.StatusNotFound, "UNSUPPORTED")
		return
	}
	repository, kind, reference := m[1], m[2], m[3]
	reading := req.Method == http.MethodGet || req.Method == http.MethodHead
	if !s.repositories[repository] || !reading && repository != s.write {
		refuse(w, http.StatusForbidden, "DENIED")
		return
	}
	switch {
	case kind == "blobs" && reading:
		s.getBlob(w, req, reference)
	case kind == "manifests" && reading:
		s.getManifest(w, req, repository, reference)
	case kind == "manifests" && req.Method == http.MethodPut:
		s.putManifest(w, req, repository, reference)
	case kind == "blobs/uploads" && req.Method == http.MethodPost:
		s.beginUpload(w, req, repository)
	case kind == "blobs/uploads" && req.Method == http.MethodPatch:
		s.continueUpload(w, req, reference)
	case kind == "blobs/uploads" && req.Method == http.MethodPut:
		s.endUpload(w, req, repository, reference)
	default:
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED")
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, http.StatusText(status))
}

func (s *session) getBlob(w http.ResponseWriter, req *http.Request, digest string) {
	name, ok := digestHex(digest)
	if !ok {
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID")
		return
	}
	f, err := os.Open(s.registry.blobPath(name))
	if err != nil {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN")
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Docker-Content-Digest", digest)
	http.ServeContent(w, req, "", time.Time{}, f)
}

func (s *session) getManifest(w http.ResponseWriter, req *http.Request, repository, reference string) {
	text, digest, err := s.registry.Manifest(repository, reference)
	if err != nil {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN")
		return
	}
	var m imageManifest
	if err := json.Unmarshal(text, &m); err != nil || m.MediaType == "" {
		m.MediaType = mediaManifest
	}
	w.Header().Set("Content-Type", m.MediaType)
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("Content-Length", fmt.Sprint(len(text)))
	if req.Method == http.MethodGet {
		_, _ = w.Write(text)
	}
}

func (s *session) putManifest(w http.ResponseWriter, req *http.Request, repository, reference string) {
	text, err := io.ReadAll(io.LimitReader(req.Body, maxManifest+1))
	var m imageManifest
	if err != nil || len(text) > maxManifest || json.Unmarshal(text, &m) != nil || len(m.Layers) > maxLayers {
		refuse(w, http.StatusBadRequest, "MANIFEST_INVALID")
		return
	}
	for _, d := range append(m.Layers, m.Config) {
		name, ok := digestHex(d.Digest)
		if _, err := os.Stat(s.registry.blobPath(name)); !ok || err != nil {
			refuse(w, http.StatusNotFound, "MANIFEST_BLOB_UNKNOWN")
			return
		}
	}
	digest, err := s.registry.PutManifest(repository, reference, text)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "UNKNOWN")
		return
	}
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusCreated)
}

// beginUpload also answers a mount: blobs are shared by all repositories.
func (s *session) beginUpload(w http.ResponseWriter, req *http.Request, repository string) {
	if name, ok := digestHex(req.URL.Query().Get("mount")); ok {
		if _, err := os.Stat(s.registry.blobPath(name)); err == nil {
			w.Header().Set("Location", "/v2/"+repository+"/blobs/sha256:"+name)
			w.WriteHeader(http.StatusCreated)
			return
		}
	}
	f, err := os.CreateTemp(s.registry.path("uploads"), "")
	if err != nil {
		refuse(w, http.StatusInternalServerError, "UNKNOWN")
		return
	}
	id := rand.Text()
	s.mu.Lock()
	s.uploads[id] = &upload{file: f, sum: sha256.New()}
	s.mu.Unlock()
	s.accepted(w, repository, id)
}

func (s *session) accepted(w http.ResponseWriter, repository, id string) {
	w.Header().Set("Location", "/v2/"+repository+"/blobs/uploads/"+id)
	w.WriteHeader(http.StatusAccepted)
}

func (s *session) upload(id string) (*upload, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.uploads[id]
	return u, ok
}

func (u *upload) receive(body io.Reader) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, err := io.Copy(io.MultiWriter(u.file, u.sum), body)
	return err
}

func (s *session) continueUpload(w http.ResponseWriter, req *http.Request, id string) {
	u, ok := s.upload(id)
	if !ok {
		refuse(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
		return
	}
	if err := u.receive(req.Body); err != nil {
		refuse(w, http.StatusInternalServerError, "BLOB_UPLOAD_INVALID")
		return
	}
	s.accepted(w, s.write, id)
}

func (s *session) endUpload(w http.ResponseWriter, req *http.Request, repository, id string) {
	u, ok := s.upload(id)
	if !ok {
		refuse(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
		return
	}
	s.mu.Lock()
	delete(s.uploads, id)
	s.mu.Unlock()
	defer func() { _ = os.Remove(u.file.Name()) }() // nothing once it was renamed
	err := errors.Join(u.receive(req.Body), u.file.Close())
	digest := req.URL.Query().Get("digest")
	name, ok := digestHex(digest)
	if err != nil || !ok || hex.EncodeToString(u.sum.Sum(nil)) != name {
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID")
		return
	}
	if err := os.Rename(u.file.Name(), s.registry.blobPath(name)); err != nil {
		refuse(w, http.StatusInternalServerError, "UNKNOWN")
		return
	}
	w.Header().Set("Location", "/v2/"+repository+"/blobs/"+digest)
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusCreated)
}
