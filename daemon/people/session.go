package people

import (
	"context"
	"sync"

	"towline/daemon"
)

// Caller is who asks for something: a member, by one of their keys. The zero value is the
// operator on the host.
type Caller struct {
	Member string
	Key    string // its fingerprint
}

// Identify fails unless the key is the member's now. It may have been removed while the
// connection that it opened is still there, and the member's name may be another's by then.
func (ps *People) Identify(ctx context.Context, c Caller) error {
	if c == (Caller{}) {
		return nil
	}
	return ps.Store.View(ctx, func(tx daemon.Tx) error {
		if _, err := tx.Member(c.Member); daemon.IsKind(err, daemon.NotFound) {
			return daemon.Errorf(daemon.Forbidden, "you are no member here any more")
		} else if err != nil {
			return err
		}
		key, err := tx.Key(c.Key)
		if daemon.IsKind(err, daemon.NotFound) || err == nil && key.Member != c.Member {
			return daemon.Errorf(daemon.Forbidden, "the key of this connection is not %s's any more", c.Member).WithHint("connect again, with a key of yours")
		}
		return err
	})
}

// sessions are the calls that are under way. They are added and removed by those who serve
// the calls, and looked at by whoever changes who may do what.
type sessions struct {
	mu   sync.Mutex
	open map[*session]struct{}
}

type session struct {
	may func(context.Context) error
	end func(cause error)
}

// sessionKey is the key of the call that a context belongs to.
type sessionKey struct{}

// OpenSession adds a call, to which the context that it returns belongs. may says whether its
// caller may do what they ask: it is asked, from any goroutine, whenever another call changes
// members, keys, access or owners, and once it fails, end is called with its error. Open the
// session first and ask may afterwards, so that no change in between is missed. Call closed
// when the call is over.
func (ps *People) OpenSession(ctx context.Context, may func(context.Context) error, end func(cause error)) (_ context.Context, closed func()) {
	s := &session{may, end}
	ps.sessions.mu.Lock()
	defer ps.sessions.mu.Unlock()
	if ps.sessions.open == nil {
		ps.sessions.open = map[*session]struct{}{}
	}
	ps.sessions.open[s] = struct{}{}
	return context.WithValue(ctx, sessionKey{}, s), func() {
		ps.sessions.mu.Lock()
		defer ps.sessions.mu.Unlock()
		delete(ps.sessions.open, s)
	}
}

// RightsChanged ends the calls that are open and may not be any more, but for the one whose
// context this is, which ends by itself; and calls those of OnChange. It returns once their
// ends have begun.
func (ps *People) RightsChanged(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	own, _ := ctx.Value(sessionKey{}).(*session)
	ps.sessions.mu.Lock()
	open := make([]*session, 0, len(ps.sessions.open))
	for s := range ps.sessions.open {
		if s != own {
			open = append(open, s)
		}
	}
	ps.sessions.mu.Unlock()
	for _, s := range open {
		if err := s.may(ctx); err != nil {
			s.end(err)
		}
	}
	for _, f := range ps.onChange {
		f(ctx)
	}
}
