package proxy

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"towline/proxy/control"
)

// Defaults of control.Options.
const (
	defaultMaxHeader       = 64 << 10
	defaultResponseTimeout = 30 * time.Second
	defaultIdleTimeout     = 55 * time.Second
)

// service is one version of a control.Service, made ready to serve. It is not
// changed once it is in the table; gate, log and stats are shared by all
// versions of the same name.
type service struct {
	spec    control.Service
	targets []*target // all; each is in one of the two below
	pages   []*target // for requests
	sockets []*target // for those that ask for an upgrade; none: pages take them too
	next    atomic.Uint32

	maxHeader       int
	responseTimeout time.Duration
	idleTimeout     time.Duration
	allow, trust    []netip.Prefix
	hsts            string
	auth            *auth

	*shared
}

// shared is what a service keeps across deploys.
type shared struct {
	trust   []netip.Prefix // Options.TrustForwarded
	gate    gate
	guesses guesses
	log     *accessLog
	stats   stats
}

// release lets go of the log of a service that was removed, until it has something to say.
func (s *shared) release() {
	if s.log != nil {
		s.log.release()
	}
}

// close ends the log.
func (s *shared) close() {
	if s.log != nil {
		s.log.close()
	}
}

func (s *service) share(with *shared) {
	s.shared = with
	s.trust = append(s.trust, with.trust...)
	if s.auth != nil {
		s.auth.guesses = &with.guesses
	}
}

// hosts are all names that lead here, those of redirects included.
func (s *service) hosts() []string {
	list := slices.Clone(s.spec.Hosts)
	for h := range s.spec.Options.Redirects {
		if !slices.Contains(list, h) {
			list = append(list, h)
		}
	}
	return list
}

// newService checks spec; what makes no sense is a *control.Invalid.
func newService(spec control.Service) (*service, error) {
	o := spec.Options
	s := &service{
		spec:            spec,
		maxHeader:       or(o.MaxHeader, defaultMaxHeader),
		responseTimeout: or(o.ResponseTimeout, defaultResponseTimeout),
		idleTimeout:     or(o.IdleTimeout, defaultIdleTimeout),
	}
	if err := checkName(spec.Name); err != nil {
		return nil, err
	}
	if err := checkHosts(spec); err != nil {
		return nil, err
	}
	if err := checkTargets(spec); err != nil {
		return nil, err
	}
	if o.MaxBody < 0 || o.MaxHeader < 0 || o.ResponseTimeout < 0 || o.IdleTimeout < 0 || o.HSTS < 0 {
		return nil, invalid("service %s: a limit is negative", spec.Name)
	}
	var err error
	if s.allow, err = prefixes(o.AllowFrom); err != nil {
		return nil, err
	}
	if s.trust, err = prefixes(o.TrustForwarded); err != nil {
		return nil, err
	}
	if o.HSTS > 0 {
		s.hsts = fmt.Sprintf("max-age=%d", int64(o.HSTS.Seconds()))
	}
	if s.auth, err = newAuth(o.Auth); err != nil {
		return nil, err
	}
	if s.auth != nil {
		s.auth.until = o.AuthUntil
	}
	return s, nil
}

// sameRules tells whether s would treat a request as other, which may be nil, does now.
func (s *service) sameRules(other *service) bool {
	return other == s || other != nil && other.shared == s.shared && reflect.DeepEqual(other.spec.Options, s.spec.Options)
}

func invalid(format string, args ...any) error {
	return &control.Invalid{Reason: fmt.Sprintf(format, args...)}
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// checkName: the name becomes a file's name, of the route and of the log.
func checkName(name string) error {
	if name == "" || len(name) > 100 || name[0] == '.' || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return invalid("service name %q: use lower-case letters, digits, dashes, dots and underscores", name)
	}
	return nil
}

func checkHosts(spec control.Service) error {
	check := func(h string, pattern bool) error {
		rest := h
		if pattern {
			rest = strings.TrimPrefix(h, "*.")
		}
		if a, err := netip.ParseAddr(h); err == nil && a.Zone() == "" { // a zone may hold any character
			return nil
		}
		if rest == "" || len(h) > 253 || strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" ||
			strings.HasPrefix(rest, ".") || strings.HasSuffix(rest, ".") || strings.Contains(rest, "..") {
			return invalid("service %s: host %q is not a lower-case name without port", spec.Name, h)
		}
		return nil
	}
	seen := map[string]bool{}
	for _, h := range spec.Hosts {
		if err := check(h, true); err != nil {
			return err
		}
		if seen[h] {
			return invalid("service %s: host %s is named twice", spec.Name, h)
		}
		seen[h] = true
	}
	for from, to := range spec.Options.Redirects {
		if err := check(from, true); err != nil {
			return err
		}
		if err := check(to, false); err != nil {
			return err
		}
		if from == to {
			return invalid("service %s: host %s redirects to itself", spec.Name, from)
		}
	}
	return nil
}

func checkTargets(spec control.Service) error {
	seen := map[string]bool{}
	for _, t := range spec.Targets {
		if t.ID == "" || strings.ContainsFunc(t.ID, func(r rune) bool { return r <= ' ' || r == '"' || r > '~' }) {
			return invalid("service %s: target ID %q", spec.Name, t.ID)
		}
		if seen[t.ID] {
			return invalid("service %s: target %s is named twice", spec.Name, t.ID)
		}
		seen[t.ID] = true
		if i := strings.LastIndexByte(t.Address, ':'); i <= 0 || i == len(t.Address)-1 || strings.ContainsAny(t.Address, " /\r\n") {
			return invalid("service %s: target %s: address %q is not host:port", spec.Name, t.ID, t.Address)
		}
	}
	return nil
}

func prefixes(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, err := netip.ParseAddr(text)
			if err != nil {
				return nil, invalid("%q is neither an address nor a CIDR range", text)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

func within(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// take adds a target to those of s.
func (s *service) take(t *target) {
	s.targets = append(s.targets, t)
	if t.spec.WebSocket {
		s.sockets = append(s.sockets, t)
	} else {
		s.pages = append(s.pages, t)
	}
}

// pick chooses the target with the fewest requests in flight, in turn among
// equals, not one of tried. Ejected ones count only when no other is left.
// upgrade tells that the request asks for one. nil: there is none.
func (s *service) pick(tried []*target, upgrade bool) *target {
	list := s.pages
	if upgrade && len(s.sockets) > 0 {
		list = s.sockets
	}
	n := len(list)
	if n == 1 && len(tried) == 0 {
		return list[0]
	}
	if n == 0 {
		return nil
	}
	var best, ejected *target
	least := int64(0)
	first := int(s.next.Add(1))
	for i := range n {
		t := list[(first+i)%n]
		if slices.Contains(tried, t) {
			continue
		}
		if t.ejected.Load() {
			ejected = t
			continue
		}
		if load := t.running.n.Load(); best == nil || load < least {
			best, least = t, load
		}
	}
	if best == nil {
		return ejected
	}
	return best
}

// others tells whether a request that t does not take could go to another target that
// was not tried, and answers as far as is known.
func (s *service) others(t *target, tried []*target) bool {
	list := s.pages
	if t.spec.WebSocket {
		list = s.sockets
	}
	return len(list) > 1 && slices.ContainsFunc(list, func(o *target) bool {
		return o != t && !o.ejected.Load() && !slices.Contains(tried, o)
	})
}
