package apps

import (
	"strings"
	"testing"

	"towline/daemon"
)

func TestPortOf(t *testing.T) {
	for name, c := range map[string]struct {
		kind    string
		config  string
		exposed []int
		want    int
		from    string
	}{
		"buildpacks":           {"buildpack", "", nil, 5000, ""},
		"buildpacks, config":   {"buildpack", "8080", nil, 8080, "config var PORT"},
		"no EXPOSE":            {"dockerfile", "", nil, 5000, "exposes none"},
		"EXPOSE":               {"dockerfile", "", []int{3000}, 3000, "the image's EXPOSE"},
		"EXPOSE, config":       {"dockerfile", "8080", []int{3000}, 8080, "config var PORT"},
		"several":              {"dockerfile", "", []int{3000, 9229}, 5000, "exposes several"},
		"a low one":            {"dockerfile", "", []int{80}, 5000, "80, is below 1024"},
		"80 among others":      {"dockerfile", "", []int{80, 443}, 5000, "exposes several"},
		"a config that is bad": {"buildpack", "80a", nil, 5000, ""},
	} {
		rel := daemon.Release{Kind: c.kind, Config: map[string]string{}, Processes: map[string]daemon.Process{"web": {Exposed: c.exposed}}}
		if c.config != "" {
			rel.Config["PORT"] = c.config
		}
		p := portOf(rel, nil)
		if p.number != c.want || !strings.Contains(p.from, c.from) || c.from == "" && p.from != "" {
			t.Errorf("%s: %d, %q", name, p.number, p.from)
		}
	}
	rel := daemon.Release{Kind: "dockerfile", Processes: map[string]daemon.Process{}}
	for want, exposed := range map[int][]int{80: {80, 443, 2019}, 443: {443}, 5000: {443, 8443}} {
		rel.Processes["web"] = daemon.Process{Exposed: exposed}
		if p := portOf(rel, []string{daemon.BindLow}); p.number != want {
			t.Errorf("%v, with the capability: %v", exposed, p)
		}
	}
	for value, fine := range map[string]bool{"1": true, "65535": true, "0": false, "65536": false, "-1": false, "080": false, " 80": false, "": false, "x": false, "99999999999999999999": false} {
		if _, err := parsePort(value); (err == nil) != fine {
			t.Errorf("%q: %v", value, err)
		}
	}
}
