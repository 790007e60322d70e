package proxy

import (
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"time"

	"towline/proxy/message"

	"golang.org/x/crypto/bcrypt"
)

// maxCost bounds what one guess may cost: bcrypt's 14 takes about a second.
const maxCost = 14

// auth checks HTTP Basic credentials against bcrypt hashes. A hash takes tens
// of milliseconds of CPU, so what was right once is remembered, as a digest, and
// guesses bounds the rest.
type auth struct {
	users   map[string][]byte
	decoy   []byte    // compared against when the user is unknown, so that time does not tell
	until   time.Time // zero: no end
	guesses *guesses

	mu    sync.Mutex
	known map[string][sha256.Size]byte // user -> digest of what was right
	under map[attempt]*check           // what is being checked: browsers ask for many things at once
}

// attempt is one pair of credentials from one client.
type attempt struct {
	digest [sha256.Size]byte
	who    netip.Prefix
}

// check is one pair of credentials on its way. done is closed once right is known.
type check struct {
	done    chan struct{}
	verdict verdict
}

// verdict is the outcome of a check.
type verdict struct {
	right bool
	retry time.Duration // > 0: it was not looked at; to be tried again after that
	busy  bool          // because of others, not of who asked
}

// hashing holds a token for each hash that is being computed, in the whole
// process: guessing cannot starve the requests.
var hashing = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))

func newAuth(users map[string]string) (*auth, error) {
	if len(users) == 0 {
		return nil, nil
	}
	a := &auth{users: map[string][]byte{}, known: map[string][sha256.Size]byte{}, under: map[attempt]*check{}}
	for name, hash := range users {
		cost, err := bcrypt.Cost([]byte(hash))
		if err != nil || cost > maxCost || name == "" || strings.Contains(name, ":") {
			return nil, invalid("HTTP auth: user %q needs a bcrypt hash with a cost of at most %d", name, maxCost)
		}
		a.users[name], a.decoy = []byte(hash), []byte(hash)
	}
	return a, nil
}

// allows looks at the credentials of a request from client.
func (a *auth) allows(h *message.Head, client netip.Addr) verdict {
	if !a.until.IsZero() && time.Now().After(a.until) {
		return verdict{}
	}
	for i := range h.Fields {
		f := &h.Fields[i]
		if message.KindOf(f.Name) != message.KindAuthorization || len(f.Value) < 6 || !message.EqualFold(f.Value[:6], "basic ") {
			continue
		}
		plain, err := base64.StdEncoding.DecodeString(message.TrimSpace(f.Value[6:]))
		user, password, ok := strings.Cut(string(plain), ":")
		// bcrypt looks at 72 bytes.
		if err != nil || !ok || len(password) > 72 {
			return verdict{}
		}
		return a.check(user, password, client)
	}
	return verdict{}
}

// check joins a check of the same credentials that is on its way, or makes one.
func (a *auth) check(user, password string, client netip.Addr) verdict {
	digest := sha256.Sum256([]byte(user + ":" + password))
	a.mu.Lock()
	if known, ok := a.known[user]; ok && known == digest {
		a.mu.Unlock()
		return verdict{right: true}
	}
	try := attempt{digest, guesser(client)}
	if c := a.under[try]; c != nil {
		a.mu.Unlock()
		<-c.done
		return c.verdict
	}
	c := &check{done: make(chan struct{})}
	a.under[try] = c
	a.mu.Unlock()

	c.verdict = a.guesses.try(try.who, func() bool { return a.matches(user, password) })
	a.mu.Lock()
	delete(a.under, try)
	if c.verdict.right {
		a.known[user] = digest
	}
	a.mu.Unlock()
	close(c.done)
	return c.verdict
}

func (a *auth) matches(user, password string) bool {
	hash, exists := a.users[user]
	if !exists {
		hash = a.decoy
	}
	err := bcrypt.CompareHashAndPassword(hash, []byte(password))
	return err == nil && exists
}
