package command

import (
	"context"
	"fmt"
	"io"
	"time"

	"towline/daemon"
)

func keyCommands() []*Command {
	return []*Command{
		{Name: "whoami", Summary: "show who you are here", Max: 0, On: on(nothing()), Run: runWhoami},
		{Name: "keys", Args: "[MEMBER]", Summary: "list your SSH keys, or a member's", Max: 1, On: on(theMember(0)), Run: runKeys},
		{Name: "keys:add", Args: "[MEMBER]", Summary: "add an SSH key of yours, or of a member, from standard input", Max: 1,
			On: on(theMember(0)), Run: runKeysAdd,
			Help: "A member may have a key on each of their machines.\n\n" +
				"  towline keys:add < ~/.ssh/id_ed25519.pub\n" +
				"  towline keys:add alice < alice.pub     (administrators, or root on the host)"},
		{Name: "keys:remove", Args: "KEY [MEMBER]", Summary: "remove an SSH key of yours, or of a member", Min: 1, Max: 2,
			On: on(theMember(1)), Run: runKeysRemove,
			Help: "KEY is its fingerprint, the first characters of that, or its name. What was opened by the key ends.\n\n" +
				"  towline keys:remove alice@old-laptop\n\n" +
				"Your only key stays: add another first. The only administrator who has lost it logs in on the host as root:\n\n" +
				"  towline keys:add alice < new.pub\n" +
				"  towline keys:remove SHA256:... alice"},
	}
}

// keyOwner is the member that the argument at i names, or who asks.
func (call *Call) keyOwner(i int) (string, error) {
	if len(call.Args) > i {
		return call.Args[i], nil
	}
	if call.Member == "" {
		return "", daemon.Errorf(daemon.Invalid, "on the host you are root, who has no keys here").WithHint("name a member; towline members lists them")
	}
	return call.Member, nil
}

func runWhoami(ctx context.Context, call *Call) (Result, error) {
	admin := call.People.IsAdmin(ctx, call.Member)
	v := struct {
		Member string `json:"member"`
		Admin  bool   `json:"admin"`
		Key    string `json:"key,omitempty"`
	}{call.Member, admin, call.Key}
	return show(v, func(w io.Writer) { fmt.Fprintln(w, by(call.Member)) })
}

// keyEntry is a key as the listing shows it.
type keyEntry struct {
	Fingerprint string    `json:"fingerprint"`
	Name        string    `json:"name"`
	Created     time.Time `json:"created"`
	InUse       bool      `json:"in_use"` // by this very call
}

func runKeys(ctx context.Context, call *Call) (Result, error) {
	member, err := call.keyOwner(0)
	if err != nil {
		return Result{}, err
	}
	keys, err := call.People.MemberKeys(ctx, member)
	if err != nil {
		return Result{}, err
	}
	list := []keyEntry{}
	for _, k := range keys {
		list = append(list, keyEntry{k.Fingerprint, k.Name(), k.Created, k.Fingerprint == call.Key})
	}
	return show(list, func(w io.Writer) {
		if len(list) == 0 {
			fmt.Fprintf(w, "%s has no keys. Add one: towline keys:add %s < key.pub\n", member, member)
			return
		}
		table(w, func(row func(...any)) {
			for _, k := range list {
				row(k.Fingerprint, k.Name, "added "+k.Created.Local().Format("2006-01-02"), map[bool]string{true: "in use"}[k.InUse])
			}
		})
	})
}

func runKeysAdd(ctx context.Context, call *Call) (Result, error) {
	member, err := call.keyOwner(0)
	if err != nil {
		return Result{}, err
	}
	line, err := io.ReadAll(io.LimitReader(call.Stdin, 64<<10))
	if err != nil {
		return Result{}, err
	}
	key, err := call.People.AddKey(ctx, member, string(line), call.Member)
	if err != nil {
		return Result{}, err
	}
	return show(key, func(w io.Writer) { fmt.Fprintf(w, "Added %s to %s\n", key.Fingerprint, key.Member) })
}

func runKeysRemove(ctx context.Context, call *Call) (Result, error) {
	member, err := call.keyOwner(1)
	if err != nil {
		return Result{}, err
	}
	key, left, err := call.People.RemoveKey(ctx, member, call.Args[0], call.Member)
	if err != nil {
		return Result{}, err
	}
	if left == 0 {
		fmt.Fprintf(call.Stderr, " !     %s has no key now and cannot connect: towline keys:add %s < key.pub\n", member, member)
	}
	return show(key, func(w io.Writer) { fmt.Fprintf(w, "Removed %s from %s\n", key.Fingerprint, member) })
}
