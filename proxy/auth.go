package proxy

import (
	"crypto/sha256"
	"encoding/base64"
	"runtime"
	"strings"
	"sync"
	"time"
	"towline/proxy/message"

	"golang.org/x/crypto/bcrypt"
)

// auth checks HTTP Basic credentials against bcrypt hashes. A hash takes tens
// of milliseconds of CPU, so what was right once is remembered, as a digest,
// and only few are computed at a time: guessing cannot starve the requests.
type auth struct {
	users map[string][]byte
	until time.Time // zero: no end
	known sync.Map  // digest -> struct{}; bounded by the number of right answers
}

var hashing = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))

// unmatched is compared against when the user is unknown, so that time does not tell.
var unmatched = sync.OnceValue(func() []byte {
	h, err := bcrypt.GenerateFromPassword([]byte("x"), bcrypt.DefaultCost)
	if err != nil {
		return nil
	}
	return h
})

func newAuth(users map[string]string) (*auth, error) {
	if len(users) == 0 {
		return nil, nil
	}
	a := &auth{users: map[string][]byte{}}
	for name, hash := range users {
		if _, err := bcrypt.Cost([]byte(hash)); err != nil || name == "" || strings.Contains(name, ":") {
			return nil, invalid("HTTP auth: user %q needs a bcrypt hash", name)
		}
		a.users[name] = []byte(hash)
	}
	return a, nil
}

func (a *auth) allows(h *message.Head) bool {
	if !a.until.IsZero() && time.Now().After(a.until) {
		return false
	}
	for i := range h.Fields {
		f := &h.Fields[i]
		if message.KindOf(f.Name) != message.KindAuthorization || len(f.Value) < 6 || !message.EqualFold(f.Value[:6], "basic ") {
			continue
		}
		plain, err := base64.StdEncoding.DecodeString(message.TrimSpace(f.Value[6:]))
		user, password, ok := strings.Cut(string(plain), ":")
		return err == nil && ok && a.check(user, password)
	}
	return false
}

func (a *auth) check(user, password string) bool {
	digest := sha256.Sum256([]byte(user + ":" + password))
	if _, ok := a.known.Load(digest); ok {
		return true
	}
	hash, exists := a.users[user]
	if !exists {
		hash = unmatched()
	}
	hashing <- struct{}{}
	err := bcrypt.CompareHashAndPassword(hash, []byte(password))
	<-hashing
	if err != nil || !exists {
		return false
	}
	a.known.Store(digest, struct{}{})
	return true
}
