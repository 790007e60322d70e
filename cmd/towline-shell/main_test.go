package main

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, args := range [][]string{
		{"--member", "alice", "--socket=/s"},
		{"-c", "towline-shell --member alice --key SHA256:a+/9 --socket /s"},
		{"-c", "exec /usr/bin/towline-shell --member 'alice' --socket=/s"},
	} {
		o, err := parse(args)
		if err != nil || o.member != "alice" || o.socket != "/s" {
			t.Errorf("%q: %+v, %v", args, o, err)
		}
	}
	for _, args := range [][]string{
		nil,
		{"-c", ""},
		{"-c", "ps"},
		{"-c", "sh -c towline-shell"},
		{"-c", "git-receive-pack shop"},
		{"-c", "towline-shell --member alice ps"},
		{"-c", "towline-shell --member '"},
		{"--member"},
		{"--member", ""},
		{"--member", "Alice"},
		{"--member", "-alice"},
		{"--member", "../alice"},
		{"--member", "alice\n"},
		{"--member", strings.Repeat("a", 41)},
		{"--member", "alice", "--nosuch", "x"},
		{"--member", "alice", "--key", "SHA256:"},
		{"--member", "alice", "--key", "MD5:aa:bb"},
		{"--member", "alice", "--key", "SHA256:a\nb"},
		{"--member", "alice", "--key", "SHA256:" + strings.Repeat("a", 65)},
		{"--member", "alice", "ps"},
	} {
		if o, err := parse(args); err == nil {
			t.Errorf("%q: %+v, want an error", args, o)
		}
	}
}

func TestDeployable(t *testing.T) {
	const zero, id = "0000000000000000000000000000000000000000", "1111111111111111111111111111111111111111"
	for _, c := range []struct {
		lines, ref, err string
	}{
		{"", "", ""},
		{zero + " " + id + " refs/heads/main\n", "refs/heads/main", ""},
		{zero + " " + id + " refs/tags/v1\n", "", ""},
		{zero + " " + id + " refs/tags/v1\n" + id + " " + id + " refs/heads/main\n", "refs/heads/main", ""},
		{id + " " + zero + " refs/heads/main\n", "", "deleted"},
		{id + " " + zero + " refs/tags/v1\n", "", "deleted"},
		{zero + " " + id + " refs/heads/a\n" + zero + " " + id + " refs/heads/b\n", "", "one branch at a time"},
		{zero + " " + id + " refs/notes/x\n", "", "neither"},
	} {
		updates, err := readUpdates(strings.NewReader(c.lines))
		check(t, err)
		branch, err := deployable(updates)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: %v, want %q", c.lines, err, c.err)
		}
		if err == nil && (branch == nil) != (c.ref == "") || branch != nil && branch.ref != c.ref {
			t.Errorf("%q: %+v, want %q", c.lines, branch, c.ref)
		}
	}
}
