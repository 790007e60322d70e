package command

import (
	"bytes"
	"strings"
	"testing"
)

// TestPromoteTo: --to names apps, by several of it or with commas; where it names none it is not the
// next stage that is meant.
func TestPromoteTo(t *testing.T) {
	table, reached := newTable(t)
	for _, command := range []string{"pipelines:promote", "pipelines:diff"} {
		for _, c := range []struct {
			to   []string
			code int
		}{
			{nil, 0}, {[]string{"live"}, 0}, {[]string{"live,live"}, 0}, {[]string{"live", " live"}, 0},
			{[]string{""}, 2}, {[]string{","}, 2}, {[]string{"live,"}, 2}, {[]string{"live", ""}, 2}, {[]string{" "}, 2},
			{[]string{"\"live"}, 3}, {[]string{"live\nshop"}, 3}, {[]string{"nosuch"}, 3}, {[]string{"shop"}, 2},
		} {
			words := []string{command, "-a", "shop"}
			for _, to := range c.to {
				words = append(words, "--to", to)
			}
			var out bytes.Buffer
			*reached = ""
			if code := table.Run(t.Context(), request("admin", words, &out)); code != c.code || (*reached == command) != (c.code == 0) {
				t.Errorf("%s to %q: %d %s", command, c.to, code, &out)
			}
		}
	}
}

// TestEmptyValueOfSeveral: what names nothing, as a variable that is empty does, is refused.
func TestEmptyValueOfSeveral(t *testing.T) {
	b := newBench(t)
	b.run(0, "apps:create", "shop")
	for _, words := range [][]string{
		{"run", "-a", "shop", "-e", "", "env"}, {"addons:create", "redis", "-a", "shop", "--alias", ""}, {"pipelines:promote", "-a", "shop", "--to", ""},
	} {
		b.run(2, words...)
	}
}

// TestUpdateOfPipeline: it wants a stage, and what changes nothing is not told.
func TestUpdateOfPipeline(t *testing.T) {
	b := newBench(t)
	b.run(0, "apps:create", "shop")
	b.run(0, "pipelines:create", "tow", "-a", "shop", "--stage", "staging")
	want(t, b.run(2, "pipelines:update", "-a", "shop").errors, "which stage is shop to move to?", "--stage")
	b.run(2, "pipelines:update", "-a", "shop", "--stage", "")
	b.run(0, "pipelines:update", "-a", "shop", "--stage", "staging")
	if told := b.run(0, "activity", "--kind", "pipeline.update").out; strings.Contains(told, "put shop") {
		t.Errorf("nothing was moved: %s", told)
	}
	b.run(0, "pipelines:update", "-a", "shop", "--stage", "production")
	want(t, b.run(0, "activity", "--kind", "pipeline.update").out, "put shop into production")
}
