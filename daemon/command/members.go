package command

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"towline/daemon"
	"towline/daemon/work"
)

func memberCommands() []*Command {
	return []*Command{
		{Name: "members", Summary: "list members and their keys", On: on(nothing()), Run: runMembers},
		{Name: "members:add", Args: "NAME", Summary: "add a member's SSH key from standard input", Min: 1, Max: 1, On: on(theHost()),
			Help:  "  towline members:add alice < alice.pub",
			Flags: func(f *pflag.FlagSet) { f.Bool("admin", false, "may do everything") },
			Run: func(ctx context.Context, call *Call) (Result, error) {
				line, err := io.ReadAll(io.LimitReader(work.NewInput(call.input("a public key, a line like that of id_ed25519.pub"), 0), 64<<10))
				if err != nil {
					return Result{}, err
				}
				admin, _ := call.Flags.GetBool("admin")
				key, err := call.People.AddMember(ctx, call.Args[0], string(line), admin, call.Member)
				if err != nil {
					return Result{}, err
				}
				return show(key, func(w io.Writer) { fmt.Fprintf(w, "Added %s to %s\n", key.Fingerprint, key.Member) })
			}},
		{Name: "members:remove", Args: "NAME", Summary: "remove a member with all keys and access", Min: 1, Max: 1, On: on(theHost(), theMember(0)),
			Help:    "What the member has open ends. Their apps stay. One key alone: towline keys:remove.",
			Confirm: func(call *Call) string { return call.Args[0] },
			Exists: func(ctx context.Context, call *Call) error {
				return call.People.CanRemoveMember(ctx, call.Args[0])
			},
			Effect: func(call *Call) string {
				effect := "this removes " + call.Args[0] + " with all keys and access"
				if left, err := call.People.SoleManager(context.Background(), call.Args[0]); err == nil && len(left) > 0 {
					effect += "; nobody but administrators may manage " + strings.Join(left, ", ") + " then"
				}
				return effect
			},
			Run: func(ctx context.Context, call *Call) (Result, error) {
				left, err := call.People.RemoveMember(ctx, call.Args[0], call.Member)
				if err != nil {
					return Result{}, err
				}
				res, err := did(object{"member": call.Args[0], "removed": true, "unmanaged_apps": append([]string{}, left...)}, "Removed %s", call.Args[0])
				res.Warnings = unmanaged(left)
				return res, err
			}},
	}
}

func runMembers(ctx context.Context, call *Call) (Result, error) {
	members, keys, err := call.People.Members(ctx)
	if err != nil {
		return Result{}, err
	}
	type entry struct {
		daemon.Member
		Keys []string `json:"keys"`
	}
	list := []entry{}
	for _, m := range members {
		e := entry{Member: m, Keys: []string{}}
		for _, k := range keys {
			if k.Member == m.Name {
				e.Keys = append(e.Keys, k.Fingerprint)
			}
		}
		list = append(list, e)
	}
	return show(list, func(w io.Writer) {
		table(w, func(row func(...any)) {
			row("MEMBER", "ROLE", "KEYS")
			for _, e := range list {
				row(e.Name, map[bool]string{true: "administrator", false: "member"}[e.Admin], strings.Join(e.Keys, " "))
			}
		})
	})
}
