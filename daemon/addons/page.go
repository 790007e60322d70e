package addons

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"

	"towline/daemon"
)

// This file serves the web pages of add-ons, each for a while, to whoever was told the
// password. What is open is in the store, and the proxy is made to agree with that:
// when the service starts, when it moves on to another container, when the time is over.

const (
	// OpenFor is how long a page is open unless another time is asked for.
	OpenFor = time.Hour
	maxOpen = 24 * time.Hour

	pageUser     = "towline"
	pageIdle     = 10 * time.Minute // of a WebSocket
	pagePatience = 20 * time.Second // until a page answers
)

// OpenRequest asks for the page of an add-on.
type OpenRequest struct {
	Addon, Member string
	For           time.Duration
}

// Page is the way to an add-on's web page. The password is told this once.
type Page struct {
	Addon    string    `json:"addon"`
	URL      string    `json:"url"`
	User     string    `json:"user"`
	Password string    `json:"password"`
	Expires  time.Time `json:"expires"`
}

// PageName is that of the page's route, and of its host below the domain. No app can
// have it: see reserved.
func PageName(addon string) string { return "addon-" + addon }

// Open serves the add-on's own web page below the installation's domain, to whoever
// has the password that it returns. Opening it again gives another password.
func (pg *Pages) Open(ctx context.Context, req OpenRequest) (Page, error) {
	if req.For < time.Minute || req.For > maxOpen {
		return Page{}, daemon.Errorf(daemon.Invalid, "a page can't be open for %s", req.For).WithHint("between 1m and 24h, like --for 2h")
	}
	unlock, err := pg.Journal.LockAddon(ctx, req.Addon, nil)
	if err != nil {
		return Page{}, err
	}
	defer unlock()
	addon, err := pg.readyAddon(ctx, req.Addon)
	if err != nil {
		return Page{}, err
	}
	m, err := pg.Service(addon.Service)
	if err != nil {
		return Page{}, err
	}
	if m.Web.Port == "" {
		return Page{}, daemon.Errorf(daemon.Conflict, "%s has no web page", addon.Service).
			WithHint("towline addons:console %s opens its console; towline addons:forward %s leads a program of yours to it", addon.Name, addon.Name)
	}
	if _, err := pg.services.addonAddress(ctx, addon); err != nil {
		return Page{}, err
	}
	// Nobody guesses 130 bits: a hash that is dear to compute would serve those who try.
	password := rand.Text()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		return Page{}, err
	}
	o := daemon.Opening{Addon: addon.Name, Member: req.Member, Hash: string(hash), Expires: daemon.Now().Add(req.For)}
	err = pg.Store.Update(ctx, func(tx daemon.Tx) error {
		return errors.Join(tx.PutOpening(o), tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: req.Member, Kind: daemon.PageOpened, App: addon.App, Subject: addon.Name, Undo: "addons:open " + addon.Name + " --close",
			Text: "opened the web page of the add-on " + addon.Name + " until " + o.Expires.Format(time.RFC3339)}))
	})
	if err != nil {
		return Page{}, err
	}
	pg.wakePages()
	if err := pg.syncPage(ctx, addon); err != nil {
		return Page{}, errors.Join(err, pg.closePage(context.WithoutCancel(ctx), addon.Name))
	}
	// A page that has its service connect to itself is told where.
	path := strings.ReplaceAll(m.Web.Path, "{host}", pg.pageHost(addon.Name))
	url := strings.TrimSuffix(pg.Routes.WebURL(PageName(addon.Name)), "/") + "/" + strings.TrimPrefix(path, "/")
	return Page{Addon: addon.Name, URL: url, User: pageUser, Password: password, Expires: o.Expires}, nil
}

// pageHost is the page's host name with the port, even the usual one.
func (pg *Pages) pageHost(addon string) string {
	port := pg.Port
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(PageName(addon)+"."+pg.Domain, port)
}

// Close ends what OpenAddon began, with all connections.
func (pg *Pages) Close(ctx context.Context, name, member string) error {
	addon, err := pg.Addon(ctx, name)
	if err != nil {
		return err
	}
	err = pg.Store.Update(ctx, func(tx daemon.Tx) error {
		return errors.Join(tx.DeleteOpening(name),
			tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.PageClosed, App: addon.App, Subject: name, Text: "closed the web page of the add-on " + name}))
	})
	if daemon.IsKind(err, daemon.NotFound) {
		return daemon.Errorf(daemon.Conflict, "the web page of %s is not open", name)
	}
	if err != nil {
		return err
	}
	return pg.unroutePage(context.WithoutCancel(ctx), name)
}

// closePage is CloseAddon for one that may not be open.
func (pg *Pages) closePage(ctx context.Context, addon string) error {
	err := pg.Store.Update(ctx, func(tx daemon.Tx) error { return tx.DeleteOpening(addon) })
	if daemon.IsKind(err, daemon.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return pg.unroutePage(ctx, addon)
}

func (pg *Pages) unroutePage(ctx context.Context, addon string) error {
	unlock, err := pg.lockPage(ctx, addon)
	if err != nil {
		return err
	}
	defer unlock()
	return pg.removeRoute(ctx, PageName(addon))
}

// removeRoute takes a route out with all its connections.
func (pg *Pages) removeRoute(ctx context.Context, name string) error {
	if err := pg.Router.Remove(ctx, name); err != nil {
		return err
	}
	return pg.Router.Drain(ctx, name, 0)
}

// expirePage closes a page whose time is over. It is forgotten last, so that what fails
// is tried again, and it may have been opened again meanwhile.
func (pg *Pages) expirePage(ctx context.Context, addon string) error {
	unlock, err := pg.lockPage(ctx, addon)
	if err != nil {
		return err
	}
	defer unlock()
	if _, open, err := pg.opening(ctx, addon); err != nil || open {
		return err
	}
	if err := pg.removeRoute(ctx, PageName(addon)); err != nil {
		return err
	}
	return pg.Store.Update(ctx, func(tx daemon.Tx) error {
		all, err := tx.Openings()
		if err != nil || slices.ContainsFunc(all, func(o daemon.Opening) bool { return o.Addon == addon && o.Expires.After(daemon.Now()) }) {
			return err
		}
		if err := tx.DeleteOpening(addon); !daemon.IsKind(err, daemon.NotFound) {
			return err
		}
		return nil
	})
}

func (pg *Pages) lockPage(ctx context.Context, addon string) (unlock func(), err error) {
	return pg.Locks.Lock(ctx, "page:"+addon, nil)
}

func (pg *Pages) opening(ctx context.Context, addon string) (o daemon.Opening, open bool, err error) {
	all, err := daemon.Read(ctx, pg.Store, daemon.Tx.Openings)
	i := slices.IndexFunc(all, func(o daemon.Opening) bool { return o.Addon == addon })
	if i < 0 {
		return o, false, err
	}
	return all[i], all[i].Expires.After(daemon.Now()), err
}

// syncPage has the proxy serve an add-on's page, if it is open, from the container of
// this generation.
func (pg *Pages) syncPage(ctx context.Context, a daemon.Addon) error {
	unlock, err := pg.lockPage(ctx, a.Name)
	if err != nil {
		return err
	}
	defer unlock()
	o, open, err := pg.opening(ctx, a.Name)
	if err != nil || !open {
		return err
	}
	m, err := pg.Service(a.Service)
	if err != nil {
		return err
	}
	ip, err := pg.services.addonAddress(ctx, a)
	if err != nil {
		return err
	}
	// The page alone: what else the service says over HTTP is for its apps, and would tell
	// Neo4j Browser of a Bolt port that is not open to it.
	prefix, _, _ := strings.Cut(m.Web.Path, "?")
	r := daemon.Route{
		App: PageName(a.Name), Hosts: []string{PageName(a.Name) + "." + pg.Domain},
		Health: daemon.Health{Deadline: pagePatience},
		Rules:  daemon.Rules{IdleTimeout: pageIdle, Auth: map[string]string{pageUser: o.Hash}}, AuthUntil: o.Expires,
		Prefix: "/" + strings.TrimPrefix(prefix, "/"),
	}
	for _, p := range m.Ports {
		t := daemon.Target{ID: pg.services.ContainerName(a), Address: net.JoinHostPort(ip, strconv.Itoa(p.Port))}
		switch p.Name {
		case m.Web.Port:
			r.Targets = append(r.Targets, t)
		case m.Web.WebSocket:
			t.ID, t.WebSocket = t.ID+"."+p.Name, true
			r.Targets = append(r.Targets, t)
		}
	}
	err = pg.Router.Deploy(ctx, r)
	var notReady *daemon.NotReadyError
	if errors.As(err, &notReady) {
		return daemon.Errorf(daemon.Failed, "the web page of %s does not answer: %s", a.Name, notReady.Reason).WithHint("towline addons:logs %s", a.Name)
	}
	if err != nil {
		return err
	}
	return pg.Router.Drain(ctx, r.App, 0) // what is left of the container of before
}

// followPage waits for an add-on that was restarted, which may be elsewhere now.
func (pg *Pages) followPage(ctx context.Context, name string) {
	_, open, err := pg.opening(ctx, name)
	if err == nil && !open {
		return
	}
	addon, err := pg.Addon(ctx, name)
	if err == nil {
		spec, rerr := pg.services.Render(addon)
		if err = rerr; err == nil {
			err = pg.services.AwaitService(ctx, pg.services.ContainerName(addon), spec)
		}
	}
	if err == nil {
		err = pg.syncPage(ctx, addon)
	}
	if err != nil && ctx.Err() == nil {
		pg.Log.Error("route to the page of a restarted add-on", "addon", name, "err", err)
	}
}

func (pg *Pages) wakePages() {
	select {
	case pg.wake <- struct{}{}:
	default:
	}
}

// Run closes the pages whose time is over, until ctx ends.
func (pg *Pages) Run(ctx context.Context) {
	for ctx.Err() == nil {
		wait := time.Hour
		all, err := daemon.Read(ctx, pg.Store, daemon.Tx.Openings)
		for _, o := range all {
			left := time.Until(o.Expires)
			if left <= 0 {
				left = time.Minute // to try again
				if cerr := daemon.Try("the end of an add-on's page", func() error { return pg.expirePage(ctx, o.Addon) }); cerr == nil {
					continue
				} else if err == nil {
					err = cerr
				}
			}
			wait = min(wait, left)
		}
		if err != nil && ctx.Err() == nil {
			pg.Log.Error("close the pages of add-ons", "err", err)
			wait = min(wait, time.Minute)
		}
		select {
		case <-time.After(wait):
		case <-pg.wake:
		case <-ctx.Done():
		}
	}
}

// EndForbiddenPages closes the pages whose openers may not use the add-on any more.
func (pg *Pages) EndForbiddenPages(ctx context.Context) {
	pages, err := daemon.Read(ctx, pg.Store, daemon.Tx.Openings)
	for _, o := range pages {
		if err == nil && pg.addons.AllowedAddon(ctx, o.Member, o.Addon, daemon.Operate) != nil {
			err = pg.endPage(ctx, o)
		}
	}
	if err != nil {
		pg.Log.Error("close the pages of add-ons whose openers may not use them any more", "err", err)
	}
}

// endPage closes a page before its time. What fails is tried again by RunPages.
func (pg *Pages) endPage(ctx context.Context, o daemon.Opening) error {
	err := pg.Store.Update(ctx, func(tx daemon.Tx) error {
		all, err := tx.Openings()
		if err != nil || !slices.Contains(all, o) {
			return err // opened anew meanwhile
		}
		o.Expires = daemon.Now()
		return tx.PutOpening(o)
	})
	if err != nil {
		return err
	}
	defer pg.wakePages()
	return pg.expirePage(ctx, o.Addon)
}
