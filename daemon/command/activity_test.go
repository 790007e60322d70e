package command

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/activity"
)

// told is the activity as a member sees it by a command line.
func told(t *testing.T, table *Table, member, line string) (list []daemon.Activity) {
	t.Helper()
	var out bytes.Buffer
	if code := table.Run(t.Context(), request(member, append(strings.Fields(line), "--json"), &out)); code != 0 {
		t.Fatalf("%s by %q: %d %s", line, member, code, &out)
	}
	if err := json.Unmarshal(out.Bytes(), &list); err != nil {
		t.Fatal(err, out.String())
	}
	return list
}

// TestRefusedIsTold: what a member tries and may not do is told to those who may see the app, or to
// administrators, and not without end. What is not there can't be refused.
func TestRefusedIsTold(t *testing.T) {
	table, _ := newTable(t)
	real := New(table.Rooms, HostParts{}).commands["activity"] // newTable replaces what commands do
	table.commands["activity"].Run = real.Run
	try := func(member, line string) {
		t.Helper()
		var out bytes.Buffer
		r := request(member, strings.Fields(line), &out)
		r.Address = "192.0.2.7"
		if code := table.Run(t.Context(), r); code != exitCodes[daemon.Forbidden] && code != exitCodes[daemon.NotFound] {
			t.Errorf("%s by %s: %d %s", line, member, code, &out)
		}
	}
	try("view", "config:set -a shop KEY=hunter2")
	try("none", "config -a shop") // to them it is not there
	try("none", "addons:rotate redis-shop")
	try("none", "config -a nope")
	try("none", "addons:rotate nope")
	try("operate", "host:doctor")
	list := told(t, table, "view", "activity")
	if len(list) != 3 {
		t.Fatalf("%+v", list)
	}
	for i, want := range []daemon.Activity{{Member: "none", Subject: "addons:rotate"}, {Member: "none", Subject: "config"}, {Member: "view", Subject: "config:set"}} {
		a := list[i]
		if a.Kind != daemon.AccessRefused || a.Outcome != daemon.Refused || a.App != "shop" || a.Member != want.Member || a.Subject != want.Subject || a.Address != "192.0.2.7" || a.Key != "SHA256:"+want.Member {
			t.Errorf("%+v", a)
		}
	}
	if list := told(t, table, "admin", "activity --kind access"); len(list) != 4 || list[0].Subject != "host:doctor" || list[0].App != "" {
		t.Errorf("%+v", list)
	}
	for range 3 * daemon.MaxRefusals {
		try("none", "config -a shop")
	}
	if n := len(told(t, table, "admin", "activity --member none")); n != daemon.MaxRefusals {
		t.Errorf("%d refused attempts of one member", n)
	}
	// Completion asks for much that one may not have, and shows no value.
	r := request("view", []string{"complete", "config:unset", "-a", "shop", ""}, &bytes.Buffer{})
	table.Run(t.Context(), r)
	if list := told(t, table, "admin", "activity --member view"); len(list) != 1 {
		t.Errorf("%+v", list)
	}
}

// TestWhoSeesWhatWasDone: members see what was done with the apps that they may view, and nothing of
// an earlier app of the name; administrators see all.
func TestWhoSeesWhatWasDone(t *testing.T) {
	b := newBench(t)
	b.member("bob")
	b.run(0, "apps:create", "shop")
	b.run(0, "config:set", "OLD=1", "-a", "shop")
	b.write(func(tx daemon.Tx) error { return tx.DeleteApp("shop") })
	time.Sleep(2 * time.Millisecond) // the next has a later time
	b.run(0, "apps:create", "shop")
	b.run(0, "apps:create", "blog")
	b.run(0, "access:add", "bob", "-a", "shop", "-p", "view")
	b.run(0, "config:set", "NEW=1", "-a", "shop")
	kinds := func(member string, words ...string) string {
		t.Helper()
		r := b.ask(Request{Member: member, Args: append(append([]string{"activity"}, words...), "--json")})
		var list []daemon.Activity
		if err := json.Unmarshal([]byte(r.out), &list); err != nil || r.code != 0 {
			t.Fatal(err, r)
		}
		var s []string
		for _, a := range list {
			s = append(s, string(a.Kind)+" "+a.App)
		}
		return strings.Join(s, ", ")
	}
	const shop = "config.set shop, access.add shop, app.create shop"
	for want, words := range map[string][]string{
		shop:              {"bob"},
		shop + " ":        {"bob", "-a", "shop"},
		"config.set shop": {"bob", "--kind", "config", "--since", "1h"},
		"access.add shop": {"bob", "--kind", "access.add"},
		"config.set shop, access.add shop, app.create blog, app.create shop, config.set shop, app.create shop": {""},
		"config.set shop, access.add shop": {"", "--limit", "2"},
		"":                                 {"", "--member", "bob"},
	} {
		if got := kinds(words[0], words[1:]...); got != strings.TrimSpace(want) {
			t.Errorf("%q: %s", words, got)
		}
	}
	want(t, b.run(0, "activity", "-a", "shop").out, "WHEN ", "operator  shop  set NEW config vars (v2)", "towline config:unset NEW -a shop")
	for _, words := range []string{"--kind nope", "--since yesterday", "--limit -1", "--since 1600-01-01", "--since 9999-12-31", "--since 999999h"} {
		b.run(2, append([]string{"activity"}, strings.Fields(words)...)...)
	}
	if r := b.ask(Request{Member: "bob", Args: []string{"activity", "-a", "blog"}}); r.code != exitCodes[daemon.NotFound] {
		t.Errorf("%+v", r)
	}
}

// TestActivityAfterRename: an app that takes over the name of an earlier one takes nothing of what was
// done with that.
func TestActivityAfterRename(t *testing.T) {
	b := newBench(t)
	b.member("bob")
	b.run(0, "apps:create", "shop")
	b.run(0, "access:add", "bob", "-a", "shop", "-p", "view")
	time.Sleep(2 * time.Millisecond) // the next has a later time
	b.run(0, "apps:create", "store")
	b.run(0, "config:set", "SECRET_PLAN=1", "-a", "store")
	b.write(func(tx daemon.Tx) error { return tx.DeleteApp("store") })
	b.run(0, "apps:rename", "store", "-a", "shop")
	for _, words := range [][]string{{"activity"}, {"activity", "-a", "store"}} {
		r := b.ask(Request{Member: "bob", Args: append(words, "--json")})
		if r.code != 0 || strings.Contains(r.out, "SECRET_PLAN") || strings.Count(r.out, `"id"`) != 3 || !strings.Contains(r.out, "app.create") {
			t.Errorf("%q: %+v", words, r)
		}
	}
	all := b.run(0, "activity", "--kind", "config", "--json").out
	if !strings.Contains(all, "SECRET_PLAN") || strings.Contains(all, `"undo"`) {
		t.Errorf("what was done with the earlier one is to be undone in the later: %s", all)
	}
}

// TestFollowAfterAccess: who may view an app from now on is told what is done with it from now on.
func TestFollowAfterAccess(t *testing.T) {
	b := newBench(t)
	b.member("bob")
	b.run(0, "apps:create", "blog")
	b.run(0, "access:add", "bob", "-a", "blog", "-p", "view")
	b.run(0, "apps:create", "shop")
	b.run(0, "config:set", "LONG_AGO=1", "-a", "shop")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var list []string
	err := b.d.Activity.Follow(ctx, "bob", activity.Query{}, func(a daemon.Activity) error {
		list = append(list, string(a.Kind)+" "+a.App)
		switch len(list) {
		case 2:
			b.run(0, "access:add", "bob", "-a", "shop", "-p", "view")
			b.run(0, "config:set", "NEW=1", "-a", "shop")
		case 4:
			cancel()
		}
		return nil
	})
	if got := strings.Join(list, ", "); got != "app.create blog, access.add blog, access.add shop, config.set shop" {
		t.Errorf("%s, %v", got, err)
	}
}

// TestFollowActivity: what is done meanwhile comes as a line each.
func TestFollowActivity(t *testing.T) {
	b := newBench(t)
	b.run(0, "apps:create", "shop")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, errors safe
	ended := make(chan int, 1)
	go func() {
		ended <- b.Run(ctx, Request{Args: []string{"activity", "--follow", "--json"}, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errors})
	}()
	await := func(text string) {
		t.Helper()
		for !strings.Contains(out.String(), text) {
			if ctx.Err() != nil {
				t.Fatalf("no %s in %s%s", text, out.String(), errors.String())
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	await("app.create")
	b.run(0, "config:set", "A=hunter2", "-a", "shop")
	await("config.set")
	cancel()
	if code := <-ended; code != 0 || strings.Count(out.String(), "\n") != 2 || strings.Contains(out.String(), "hunter2") {
		t.Errorf("%d: %s%s", code, out.String(), errors.String())
	}
}

// TestKindsAreInTheManual: docs/activity.md lists every kind, as the code has them.
func TestKindsAreInTheManual(t *testing.T) {
	var rows strings.Builder
	for _, k := range daemon.ActivityKinds {
		fmt.Fprintf(&rows, "| `%s` | %s |\n", k.Kind, k.Text)
	}
	const page = "../../docs/activity.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, table, found := strings.Cut(string(text), "| kind | says that |\n| --- | --- |\n")
	if !found {
		t.Fatal("there is no table of kinds")
	}
	if *update {
		if err := os.WriteFile(page, []byte(head+"| kind | says that |\n| --- | --- |\n"+rows.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if table != rows.String() {
		t.Errorf("%s does not list the kinds as they are: go test -tags \"$TAGS\" ./daemon/command -run TestKinds -update", page)
	}
}
