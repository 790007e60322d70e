package apps

import (
	"slices"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"towline/daemon"
	"towline/daemon/people"
)

// hostProfile maps what people type, as browsers do: case, width, the dots of other scripts.
var hostProfile = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false), idna.StrictDomainName(false))

// canonicalHost is the one form in which a host name is stored, compared and shown: lower
// case, without the dot at the end, and in ASCII, so bücher.example is xn--bcher-kva.example.
func canonicalHost(typed string) (string, error) {
	host := strings.ToLower(strings.TrimSuffix(typed, "."))
	rest, wildcard := strings.CutPrefix(host, "*.")
	ascii := strings.IndexFunc(rest, func(r rune) bool { return r > 0x7f }) < 0
	if len(rest) <= 1000 && (!ascii || strings.Contains(rest, "xn--")) {
		name, err := hostProfile.ToASCII(rest)
		if err != nil {
			return "", daemon.Errorf(daemon.Invalid, "domain %q is not a host name: %w", daemon.Clip(typed), err).
				WithHint("give a name alone, without scheme, port or path, like www.example.com or *.example.com")
		}
		if host = strings.TrimSuffix(name, "."); wildcard {
			host = "*." + host
		}
	}
	return host, daemon.CheckHost(host)
}

// checkHostFree fails if another app has the host name, or if it lies within or over a name
// of another app, or of Towline's own, where the member has no rights. A wildcard name takes
// any one label in the place of its star.
func (rs *Routes) checkHostFree(tx daemon.Tx, app, member, host string) error {
	if err := rs.checkOwnDomain(tx, app, member, host); err != nil {
		return err
	}
	apps, err := tx.Apps()
	if err != nil {
		return err
	}
	own, err := tx.Domains(app)
	if err != nil {
		return err
	}
	for _, a := range apps {
		taken, err := tx.Domains(a.Name)
		if err != nil {
			return err
		}
		for _, t := range taken {
			switch {
			case t.Host == host && a.Name == app:
				return daemon.Errorf(daemon.Exists, "%s leads to %s already", host, app)
			case t.Host == host: // whose it is, is not everyone's to know
				return daemon.Errorf(daemon.Exists, "%s leads to another app already", host)
			case a.Name != app && overlap(host, t.Host) && !withinOwn(own, host, t.Host):
				if err := mayShareDomain(tx, member, a.Name, host); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// overlap tells whether a host name lies within another, or is a wildcard over it.
func overlap(host, other string) bool {
	base, wildcard := strings.CutPrefix(host, "*.")
	otherBase, _ := strings.CutPrefix(other, "*.")
	return below(base, otherBase) || wildcard && (base == otherBase || below(otherBase, base))
}

// withinOwn tells whether one of the app's own names, which the host lies within too, is
// nearer to it than the other app's: a wildcard is nearer than the plain name above it. Who
// takes a name above an app's domain does not keep that app from adding to its own.
func withinOwn(own []daemon.Domain, host, other string) bool {
	base, _ := strings.CutPrefix(host, "*.")
	otherBase, otherWildcard := strings.CutPrefix(other, "*.")
	if !below(base, otherBase) {
		return false // a wildcard over the other's name
	}
	return slices.ContainsFunc(own, func(o daemon.Domain) bool {
		ownBase, wildcard := strings.CutPrefix(o.Host, "*.")
		return (base == ownBase || below(base, ownBase)) && (below(ownBase, otherBase) || ownBase == otherBase && wildcard && !otherWildcard)
	})
}

// checkNoneWithin fails while other apps have names within the address of an app that is about
// to go.
func (rs *Routes) checkNoneWithin(tx daemon.Tx, app, member string) error {
	apps, err := tx.Apps()
	if err != nil {
		return err
	}
	for _, a := range apps {
		domains, err := tx.Domains(a.Name)
		if err != nil {
			return err
		}
		for _, d := range domains {
			if a.Name != app && below(d.Host, app+"."+rs.Domain) {
				return leftWithin(tx, member, app, d)
			}
		}
	}
	return nil
}

// leftWithin is the error that a domain would stay within an address that an app gives up: a
// later app of its name would find it taken.
func leftWithin(tx daemon.Tx, member, app string, d daemon.Domain) error {
	e := daemon.Errorf(daemon.Conflict, "%s lies within the address of %s, which it would give up", d.Host, app)
	view, err := people.May(tx, member, d.App, daemon.View)
	switch {
	case err != nil:
		return err
	case view:
		return e.WithHint("towline domains:remove %s -a %s", d.Host, d.App)
	}
	return e.WithHint("another app has it: ask an administrator: towline members")
}

func below(host, parent string) bool { return strings.HasSuffix(host, "."+parent) }

// mayShareDomain fails unless the member may operate the app in whose domain a name lies:
// who may do that could take the name out of it too.
func mayShareDomain(tx daemon.Tx, member, owner, host string) error {
	ok, err := people.May(tx, member, owner, daemon.Operate)
	if err != nil || ok {
		return err
	}
	if ok, err = people.May(tx, member, owner, daemon.View); err != nil {
		return err
	}
	if ok {
		return daemon.Errorf(daemon.Forbidden, "%s lies within or over the domain of %s, which you may not operate", host, owner).
			WithHint("ask someone who may: towline apps:info -a %s", owner)
	}
	return daemon.Errorf(daemon.Forbidden, "%s lies within or over the domain of another app", host).
		WithHint("choose another name, or ask an administrator: towline members")
}

// checkOwnDomain keeps the names below the installation's domain for the apps of those names,
// and what is wider than any app for administrators.
func (rs *Routes) checkOwnDomain(tx daemon.Tx, app, member, host string) error {
	base, wildcard := strings.CutPrefix(host, "*.")
	if host == "localhost" || base == rs.Domain && wildcard {
		return daemon.Errorf(daemon.Conflict, "%s is kept for Towline's own use", host).WithHint("add a name outside %s", rs.Domain)
	}
	if inner, ok := strings.CutSuffix(base, "."+rs.Domain); ok {
		labels := strings.Split(inner, ".")
		owner := labels[len(labels)-1]
		_, err := tx.App(owner)
		switch {
		case owner == app && host == app+"."+rs.Domain:
			return daemon.Errorf(daemon.Exists, "%s leads to %s already", host, app)
		case owner == app:
			return nil
		case daemon.IsKind(err, daemon.NotFound) || err == nil && len(labels) == 1 && !wildcard:
			return daemon.Errorf(daemon.Conflict, "%s is kept for the app of that name", host).WithHint("add a name outside %s", rs.Domain)
		case err != nil:
			return err
		}
		return mayShareDomain(tx, member, owner, host)
	}
	suffix, icann := publicsuffix.PublicSuffix(base)
	everyones := base == suffix && (wildcard || icann) // *.com, co.uk
	if everyones || host == rs.Domain || wildcard && slices.Contains([]string{base, "*." + base}, parent(rs.Domain)) {
		admin, err := people.IsAdministrator(tx, member)
		if err == nil && !admin {
			err = daemon.Errorf(daemon.Forbidden, "only administrators may lead %s to an app", host).WithHint("ask one: towline members")
		}
		return err
	}
	return nil
}

// parent is a name without its first label.
func parent(host string) string {
	_, rest, _ := strings.Cut(host, ".")
	return rest
}
