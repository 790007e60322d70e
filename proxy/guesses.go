package proxy

import (
	"net/netip"
	"sync"
	"time"
)

// Bounds of what has to be hashed, for one service. What is remembered as right
// is not concerned.
const (
	maxChecks      = 16              // waiting or being computed
	maxChecksOfOne = 4               // of these, by one client address
	guessesAtOnce  = 10              // wrong ones, by one address
	guessEvery     = 6 * time.Second // after these
	maxGuessers    = 1024            // addresses remembered
	busyRetry      = 2 * time.Second // what a client is told when there is no room
)

// guesses bounds, for one service, how many credentials are checked, how often,
// and for whom. One is computed at a time, so that another service waits for one
// hash of this one at most. IPv6 clients count by /64. It outlives the service's
// versions.
type guesses struct {
	turn sync.Mutex // held while a hash is computed

	mu      sync.Mutex
	waiting int
	by      map[netip.Prefix]int       // of those that wait
	wrong   map[netip.Prefix]time.Time // when all its guesses will be forgotten; at most maxGuessers
}

// try has matches look, if the bounds allow that.
func (g *guesses) try(who netip.Prefix, matches func() bool) verdict {
	if v := g.enter(who, time.Now()); v.retry > 0 {
		return v
	}
	g.turn.Lock()
	hashing <- struct{}{}
	right := matches()
	<-hashing
	g.turn.Unlock()
	g.leave(who, right, time.Now())
	return verdict{right: right}
}

func (g *guesses) enter(who netip.Prefix, now time.Time) verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ahead := g.wrong[who].Add(-(guessesAtOnce - 1) * guessEvery).Sub(now); ahead > 0 {
		return verdict{retry: ahead}
	}
	if g.by[who] >= maxChecksOfOne {
		return verdict{retry: busyRetry}
	}
	if g.waiting >= maxChecks {
		return verdict{retry: busyRetry, busy: true}
	}
	if g.by == nil {
		g.by, g.wrong = map[netip.Prefix]int{}, map[netip.Prefix]time.Time{}
	}
	g.waiting++
	g.by[who]++
	return verdict{}
}

func (g *guesses) leave(who netip.Prefix, right bool, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting--
	if g.by[who]--; g.by[who] == 0 {
		delete(g.by, who)
	}
	if right {
		delete(g.wrong, who)
		return
	}
	if _, known := g.wrong[who]; !known && len(g.wrong) >= maxGuessers {
		g.makeRoom(now)
	}
	until := g.wrong[who]
	if until.Before(now) {
		until = now
	}
	g.wrong[who] = until.Add(guessEvery)
}

// makeRoom forgets who has not guessed for long, or else anybody: whoever has so
// many addresses is bounded by the service's turn.
func (g *guesses) makeRoom(now time.Time) {
	for who, until := range g.wrong {
		if until.Before(now) {
			delete(g.wrong, who)
		}
	}
	for who := range g.wrong {
		if len(g.wrong) < maxGuessers {
			return
		}
		delete(g.wrong, who)
	}
}

// guesser is the address that a client counts by.
func guesser(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no address at all: they share one allowance
	}
	return p
}
