package daemon

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	long := strings.Repeat("a", 300)
	for _, c := range []struct {
		what  string
		check func(string) error
		good  []string
		bad   []string
	}{
		{"app", CheckAppName,
			[]string{"a", "shop", "shop-2", strings.Repeat("a", 30)},
			[]string{"", "../x", "Shop", "shop_1", "-shop", "shop-", "1shop", "shop.x", "sh op", "shöp", long, "towline", "a\nb", "$(id)", ";id"}},
		{"member", CheckMemberName,
			[]string{"alice", "ci-bot", "a.b", "a_b"},
			[]string{"", "Alice", "--admin", "a b", `a"b`, "a\nb", long, "../x"}},
		{"config key", CheckConfigKey,
			[]string{"A", "_x", "RACK_ENV", "lower"},
			[]string{"", "A=B", "1A", "A-B", "A B", "A\x00", "DYNO", "SOURCE_VERSION", "TOWLINE_APP", long, "é"}},
		{"host", CheckHost,
			[]string{"example.com", "www.example.com", "*.example.com", "localhost", "xn--bcher-kva.example"},
			[]string{"", "https://example.com", "example.com/x", "example.com:80", "exa mple.com", "*", "*.com.*", "a..b", "-a.com",
				"10.0.0.1", "WWW.example.com", "*.", long + ".com", "a\nb.com"}},
	} {
		for _, s := range c.good {
			if err := c.check(s); err != nil {
				t.Errorf("%s %q: %v", c.what, s, err)
			}
		}
		for _, s := range c.bad {
			if err := c.check(s); !IsKind(err, Invalid) {
				t.Errorf("%s %q: error %v, want an invalid one", c.what, Clip(s), err)
			}
		}
	}
}

func TestSuggestName(t *testing.T) {
	for from, want := range map[string]string{"Shop": "shop", "../x": "x", "my_app": "my-app", "123": "shop", "towline": "shop"} {
		if got := suggestName(from); got != want || CheckAppName(got) != nil {
			t.Errorf("%q suggests %q, want %q", from, got, want)
		}
	}
}
