package daemon

import (
	"net/netip"
	"regexp"
	"time"
	"unicode/utf8"
)

// Rules are what an app's people set for its route. Zero values are the proxy's defaults.
type Rules struct {
	ResponseTimeout time.Duration     `json:"response_timeout,omitempty"` // to the first byte of an answer
	IdleTimeout     time.Duration     `json:"idle_timeout,omitempty"`     // between bytes after that
	MaxBody         int64             `json:"max_body,omitempty"`         // bytes; zero: unlimited
	MaxHeader       int               `json:"max_header,omitempty"`       // bytes
	AllowFrom       []string          `json:"allow_from,omitempty"`       // CIDR; none: everyone
	Auth            map[string]string `json:"auth,omitempty"`             // user -> bcrypt hash; none: everyone
	PlainHTTP       bool              `json:"plain_http,omitempty"`       // on port 80 too, in place of a redirect
	HSTS            time.Duration     `json:"hsts,omitempty"`
	MaintenancePage string            `json:"maintenance_page,omitempty"` // HTML; empty: the proxy's own
}

// Bounds of Rules.
const (
	MaxMaintenancePage = 256 << 10 // bytes
	minTimeout         = time.Second
	maxTimeout         = 24 * time.Hour
	maxHeaderRule      = 256 << 10 // bytes; the proxy takes no larger head from anyone
	maxAllowed         = 100
	maxLogins          = 50
	maxHSTS            = 2 * 366 * 24 * time.Hour
)

var loginName = regexp.MustCompile(`^[A-Za-z0-9._@-]{1,64}$`)

// CheckRules refuses what the proxy would.
func CheckRules(r Rules) error {
	for what, t := range map[string]time.Duration{"response timeout": r.ResponseTimeout, "idle timeout": r.IdleTimeout} {
		if t != 0 && (t < minTimeout || t > maxTimeout) {
			return Errorf(Invalid, "a %s of %s is not allowed", what, t).WithHint("from %s to %s", minTimeout, maxTimeout)
		}
	}
	switch {
	case r.MaxBody < 0:
		return Errorf(Invalid, "a body can't be smaller than nothing")
	case r.MaxHeader != 0 && (r.MaxHeader < 1<<10 || r.MaxHeader > maxHeaderRule):
		return Errorf(Invalid, "a header size of %d bytes is not allowed", r.MaxHeader).WithHint("from 1K to 256K")
	case r.HSTS < 0 || r.HSTS > maxHSTS:
		return Errorf(Invalid, "an HSTS time of %s is not allowed", r.HSTS).WithHint("at most two years, like 8760h")
	case len(r.AllowFrom) > maxAllowed:
		return Errorf(Invalid, "%d address ranges are too many; at most %d are allowed", len(r.AllowFrom), maxAllowed)
	case len(r.Auth) > maxLogins:
		return Errorf(Invalid, "%d users are too many; at most %d are allowed", len(r.Auth), maxLogins).
			WithHint("the app itself is a better place for them")
	case len(r.MaintenancePage) > MaxMaintenancePage:
		return Errorf(Invalid, "the page is longer than %d KiB", MaxMaintenancePage>>10)
	case !utf8.ValidString(r.MaintenancePage):
		return Errorf(Invalid, "the page is not UTF-8 text")
	}
	for _, text := range r.AllowFrom {
		if _, err := netip.ParsePrefix(text); err != nil {
			if _, err := netip.ParseAddr(text); err != nil {
				return Errorf(Invalid, "%q is neither an address nor a range of them", Clip(text)).WithHint("write it like 192.0.2.7 or 10.0.0.0/8")
			}
		}
	}
	for name := range r.Auth {
		if !loginName.MatchString(name) {
			return Errorf(Invalid, "user name %q is not allowed", Clip(name)).WithHint("use letters, digits, dots, dashes, underscores and @")
		}
	}
	return nil
}
