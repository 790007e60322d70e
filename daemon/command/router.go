package command

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"towline/daemon"
	"towline/daemon/apps"
)

func routerCommands() []*Command {
	return []*Command{
		{Name: "router", Summary: "show what is set for an app's route", On: on(theApp(daemon.View)), Run: runRouter},
		{Name: "router:set", Args: "KEY=value [...]", Summary: "set how an app's visitors are served", Min: 1, Max: -1, On: on(theApp(daemon.Operate)), Run: runRouterSet,
			Help: "All are set at once, without a restart. An empty value is the default.\n\n" +
				"  response-timeout=60s   to the first byte of an answer (30s)\n" +
				"  idle-timeout=10m       between bytes after that, and of WebSockets (55s)\n" +
				"  body=50M               the largest request body (unlimited)\n" +
				"  header=32K             the largest request header (64K)\n" +
				"  allow=10.0.0.0/8,...   the addresses that are let in (all)\n" +
				"  login=ann              asks visitors for a name and a password, which is read from standard input;\n" +
				"                         each login adds one\n" +
				"  http=on                serve on port 80 too, in place of leading to HTTPS (off)\n" +
				"  hsts=8760h             tell browsers to come by HTTPS alone from now on (off)\n\n" +
				"  towline router:set body=50M response-timeout=2m -a shop\n  towline router:set login=ann -a shop < password"},
		{Name: "router:unset", Args: "KEY [...]", Summary: "go back to the defaults; login=NAME removes one login", Min: 1, Max: -1, On: on(theApp(daemon.Operate)), Run: runRouterUnset},
		{Name: "maintenance:page", Summary: "set the maintenance page from HTML on standard input", On: on(theApp(daemon.Operate)), Run: runMaintenancePage,
			Flags: func(f *pflag.FlagSet) { f.Bool("default", false, "go back to the page that comes with Towline") },
			Help:  "  towline maintenance:page -a shop < maintenance.html"},
	}
}

// setting is one key of router:set.
type setting struct {
	key   string
	set   func(r *daemon.Rules, value string) error // value "": the default
	value func(r daemon.Rules) string
}

var settings = []setting{
	{"response-timeout", func(r *daemon.Rules, v string) error { return setDuration(&r.ResponseTimeout, v) },
		func(r daemon.Rules) string { return duration(r.ResponseTimeout, "30s") }},
	{"idle-timeout", func(r *daemon.Rules, v string) error { return setDuration(&r.IdleTimeout, v) },
		func(r daemon.Rules) string { return duration(r.IdleTimeout, "55s") }},
	{"body", func(r *daemon.Rules, v string) error { return setBytes(&r.MaxBody, v) },
		func(r daemon.Rules) string {
			return orElse(r.MaxBody != 0, func() string { return size(r.MaxBody) }, "unlimited")
		}},
	{"header", func(r *daemon.Rules, v string) error {
		var n int64
		err := setBytes(&n, v)
		r.MaxHeader = int(min(n, math.MaxInt32))
		return err
	}, func(r daemon.Rules) string { return size(int64(cmp.Or(r.MaxHeader, 64<<10))) }},
	{"allow", func(r *daemon.Rules, v string) error {
		r.AllowFrom = nil
		for _, a := range strings.FieldsFunc(v, func(c rune) bool { return c == ',' || c == ' ' }) {
			if !slices.Contains(r.AllowFrom, a) {
				r.AllowFrom = append(r.AllowFrom, a)
			}
		}
		return nil
	}, func(r daemon.Rules) string {
		return orElse(len(r.AllowFrom) > 0, func() string { return strings.Join(r.AllowFrom, ", ") }, "everyone")
	}},
	{"http", func(r *daemon.Rules, v string) error {
		switch v {
		case "on":
			r.PlainHTTP = true
		case "off", "":
			r.PlainHTTP = false
		default:
			return daemon.Errorf(daemon.Invalid, "http is on or off, not %q", clip(v))
		}
		return nil
	}, func(r daemon.Rules) string { return onOff(r.PlainHTTP) }},
	{"hsts", func(r *daemon.Rules, v string) error { return setDuration(&r.HSTS, v) },
		func(r daemon.Rules) string { return duration(r.HSTS, "off") }},
}

const loginKey = "login"

func settingOf(key string) (setting, error) {
	var keys []string
	for _, s := range settings {
		if s.key == key {
			return s, nil
		}
		keys = append(keys, s.key)
	}
	return setting{}, daemon.Errorf(daemon.Invalid, "there is no setting %q", clip(key)).WithHint("there are: %s, %s", strings.Join(keys, ", "), loginKey)
}

// routeView is a route as it is shown. Hashes of passwords are not.
type routeView struct {
	Hosts           []string          `json:"hosts"`
	Redirects       map[string]string `json:"redirects"`
	Settings        map[string]string `json:"settings"`
	Logins          []string          `json:"logins"`
	Maintenance     bool              `json:"maintenance"`
	MaintenancePage bool              `json:"maintenance_page"` // one of its own
}

func runRouter(ctx context.Context, call *Call) (Result, error) {
	info, err := call.Routes.RouteInfo(ctx, call.App)
	if err != nil {
		return Result{}, err
	}
	certs, err := call.Routes.Certificates(ctx, call.App)
	if err != nil {
		warn(call.Stderr, err.Error()) // what is set shows without the proxy
	}
	v := routeView{Hosts: info.Hosts, Redirects: info.Redirects, Settings: map[string]string{}, Logins: slices.Sorted(maps.Keys(info.Auth)),
		Maintenance: info.Maintenance, MaintenancePage: info.MaintenancePage != ""}
	for _, s := range settings {
		v.Settings[strings.ReplaceAll(s.key, "-", "_")] = s.value(info.Rules)
	}
	if v.Redirects == nil {
		v.Redirects = map[string]string{}
	}
	if v.Logins == nil {
		v.Logins = []string{}
	}
	return show(v, func(w io.Writer) {
		fmt.Fprintf(w, "=== %s Router\n", call.App)
		table(w, func(row func(...any)) {
			for _, h := range v.Hosts {
				to := ""
				if v.Redirects[h] != "" {
					to = "leads to " + v.Redirects[h]
				} else if i := slices.IndexFunc(certs, func(c daemon.Certificate) bool { return c.Host == h }); i >= 0 {
					to = strings.TrimRight(certs[i].Kind+" certificate, "+certs[i].State+"; "+certs[i].Error, "; ")
				}
				row(h+":", to)
			}
			for _, s := range settings {
				row(s.key+":", s.value(info.Rules))
			}
			row(loginKey+":", orElse(len(v.Logins) > 0, func() string { return strings.Join(v.Logins, ", ") }, "none"))
			page := "the usual page"
			if v.MaintenancePage {
				page = "a page of its own, " + size(int64(len(info.MaintenancePage)))
			}
			row("maintenance:", onOff(v.Maintenance)+", "+page)
		})
	})
}

func runRouterSet(ctx context.Context, call *Call) (Result, error) {
	var edits []func(*daemon.Rules) error
	var names, login []string
	for _, word := range call.Args {
		key, value, found := strings.Cut(word, "=")
		if !found {
			return Result{}, daemon.Errorf(daemon.Invalid, "%q has no =", clip(word)).WithHint("write KEY=value; towline router:set --help")
		}
		if slices.Contains(names, key) {
			return Result{}, daemon.Errorf(daemon.Invalid, "%s is given twice", clip(key))
		}
		names = append(names, key)
		if key == loginKey {
			login = append(login, value)
			continue
		}
		s, err := settingOf(key)
		if err != nil {
			return Result{}, err
		}
		edits = append(edits, func(r *daemon.Rules) error { return s.set(r, value) })
	}
	for _, name := range login {
		hash, err := readPassword(call, name)
		if err != nil {
			return Result{}, err
		}
		edits = append(edits, func(r *daemon.Rules) error {
			if r.Auth == nil {
				r.Auth = map[string]string{}
			}
			r.Auth[name] = hash
			return nil
		})
	}
	return changeRules(ctx, call, apps.RuleChange{What: "set " + strings.Join(names, ", ") + " of the route", Names: names}, edits...)
}

// readPassword reads the password of a login, the first line of standard input, and
// returns its hash. The password goes nowhere else.
func readPassword(call *Call, name string) (string, error) {
	if name == "" || strings.Contains(name, ":") {
		return "", daemon.Errorf(daemon.Invalid, "login=%s names no user", clip(name)).
			WithHint("write login=NAME and give the password on standard input; towline router:unset login removes all logins")
	}
	line, err := bufio.NewReader(io.LimitReader(call.input("the password of "+name+", a line"), 4<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", daemon.Errorf(daemon.Invalid, "can't read the password: %w", err).WithHint("nothing was changed")
	}
	return apps.HashPassword(strings.TrimRight(line, "\r\n"))
}

func runRouterUnset(ctx context.Context, call *Call) (Result, error) {
	var edits []func(*daemon.Rules) error
	for _, word := range call.Args {
		key, user, one := strings.Cut(word, "=")
		if key == loginKey {
			edits = append(edits, func(r *daemon.Rules) error {
				if _, there := r.Auth[user]; one && !there {
					return daemon.Errorf(daemon.NotFound, "there is no login %q", clip(user)).WithHint("towline router -a %s", call.App)
				}
				if delete(r.Auth, user); !one {
					r.Auth = nil
				}
				return nil
			})
			continue
		}
		s, err := settingOf(key)
		if err != nil {
			return Result{}, err
		}
		if one {
			return Result{}, daemon.Errorf(daemon.Invalid, "%q has a value", clip(word)).WithHint("towline router:unset %s -a %s", key, call.App)
		}
		edits = append(edits, func(r *daemon.Rules) error { return s.set(r, "") })
	}
	return changeRules(ctx, call, apps.RuleChange{What: "unset " + strings.Join(call.Args, ", ") + " of the route", Names: call.Args}, edits...)
}

func changeRules(ctx context.Context, call *Call, change apps.RuleChange, edits ...func(*daemon.Rules) error) (Result, error) {
	change.App, change.Member, change.Edit = call.App, call.Member, func(r *daemon.Rules) error {
		for _, edit := range edits {
			if err := edit(r); err != nil {
				return err
			}
		}
		return nil
	}
	if err := call.Routes.ChangeRules(ctx, change); err != nil {
		return Result{}, err
	}
	return runRouter(ctx, call)
}

func runMaintenancePage(ctx context.Context, call *Call) (Result, error) {
	page := ""
	what := "went back to the usual maintenance page"
	if back, _ := call.Flags.GetBool("default"); !back {
		text, err := io.ReadAll(io.LimitReader(call.input("a page, HTML"), daemon.MaxMaintenancePage+1))
		if err != nil {
			return Result{}, daemon.Errorf(daemon.Invalid, "can't read the page: %w", err).WithHint("nothing was changed")
		}
		if strings.TrimSpace(string(text)) == "" {
			return Result{}, daemon.Errorf(daemon.Invalid, "standard input is empty").WithHint("towline maintenance:page -a %s < page.html, or --default", call.App)
		}
		page, what = string(text), "set the maintenance page"
	}
	return changeRules(ctx, call, apps.RuleChange{What: what, Names: []string{"maintenance page"}}, func(r *daemon.Rules) error {
		r.MaintenancePage = page
		return nil
	})
}

func setDuration(to *time.Duration, value string) error {
	*to = 0
	if value == "" || value == "off" {
		return nil
	}
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		return daemon.Errorf(daemon.Invalid, "%q is not a time", clip(value)).WithHint("write it like 30s, 5m or 1h")
	}
	*to = d
	return nil
}

// setBytes reads 512, 64K, 10M or 1G.
func setBytes(to *int64, value string) error {
	*to = 0
	if value == "" || value == "unlimited" {
		return nil
	}
	number := strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(value), "B"), "I")
	shift := 0
	if n := len(number); n > 0 {
		if i := strings.IndexByte("KMGT", number[n-1]); i >= 0 {
			number, shift = number[:n-1], 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64>>shift {
		return daemon.Errorf(daemon.Invalid, "%q is not a size", clip(value)).WithHint("write it like 64K, 10M or 1G")
	}
	*to = n << shift
	return nil
}

func duration(d time.Duration, otherwise string) string {
	return orElse(d != 0, d.String, otherwise)
}

func orElse(is bool, value func() string, otherwise string) string {
	if is {
		return value()
	}
	return otherwise
}

func onOff(on bool) string {
	return map[bool]string{true: "on", false: "off"}[on]
}
