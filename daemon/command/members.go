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
			Run: func(ctx context.Context, call *Call) error {
				line, err := io.ReadAll(io.LimitReader(work.NewInput(call.input("a public key, a line like that of id_ed25519.pub"), 0), 64<<10))
				if err != nil {
					return err
				}
				admin, _ := call.Flags.GetBool("admin")
				key, err := call.People.AddMember(ctx, call.Args[0], string(line), admin, call.Member)
				if err != nil {
					return err
				}
				return call.result(key, func(w io.Writer) { fmt.Fprintf(w, "Added %s to %s\n", key.Fingerprint, key.Member) })
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
			Run: func(ctx context.Context, call *Call) error {
				left, err := call.People.RemoveMember(ctx, call.Args[0], call.Member)
				if err != nil {
					return err
				}
				err = call.did(object{"member": call.Args[0], "removed": true, "unmanaged_apps": append([]string{}, left...)}, "Removed %s", call.Args[0])
				for _, app := range left {
					fmt.Fprintf(call.Stderr, " !     nobody but administrators may manage %s now: towline access:add MEMBER -a %s -p deploy,operate,manage\n", app, app)
				}
				return err
			}},
		{Name: "access", Summary: "list who may do what with an app", On: on(theApp(daemon.View)),
			Run: func(ctx context.Context, call *Call) error {
				list, err := call.People.AccessList(ctx, call.App)
				if err != nil {
					return err
				}
				return call.result(list, func(w io.Writer) {
					table(w, func(row func(...any)) {
						row("MEMBER", "PERMISSIONS")
						for _, a := range list {
							row(a.Member, permissions(a.Permissions))
						}
					})
				})
			}},
		{Name: "access:add", Args: "MEMBER", Summary: "let a member work on an app", Min: 1, Max: 1, On: on(theApp(daemon.Manage)),
			Flags: func(f *pflag.FlagSet) {
				f.StringP("permissions", "p", "view,deploy,operate", "view, deploy, operate, manage, with commas")
			},
			Run: func(ctx context.Context, call *Call) error {
				text, _ := call.Flags.GetString("permissions")
				var ps []daemon.Permission
				for _, word := range strings.Split(text, ",") {
					ps = append(ps, daemon.Permission(strings.TrimSpace(word)))
				}
				if err := call.People.Grant(ctx, call.App, call.Args[0], ps, call.Member); err != nil {
					return err
				}
				return call.did(object{"member": call.Args[0], "app": call.App, "permissions": ps}, "%s may now %s %s", call.Args[0], text, call.App)
			}},
		{Name: "access:remove", Args: "MEMBER", Summary: "take a member's access to an app away", Min: 1, Max: 1, On: on(theApp(daemon.Manage)),
			Run: func(ctx context.Context, call *Call) error {
				if err := call.People.Grant(ctx, call.App, call.Args[0], nil, call.Member); err != nil {
					return err
				}
				return call.did(object{"member": call.Args[0], "app": call.App, "permissions": []daemon.Permission{}}, "%s has no access to %s any more", call.Args[0], call.App)
			}},
	}
}

func permissions(ps []daemon.Permission) string {
	var words []string
	for _, p := range ps {
		words = append(words, string(p))
	}
	return strings.Join(words, ",")
}

func runMembers(ctx context.Context, call *Call) error {
	members, keys, err := call.People.Members(ctx)
	if err != nil {
		return err
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
	return call.result(list, func(w io.Writer) {
		table(w, func(row func(...any)) {
			row("MEMBER", "ROLE", "KEYS")
			for _, e := range list {
				row(e.Name, map[bool]string{true: "administrator", false: "member"}[e.Admin], strings.Join(e.Keys, " "))
			}
		})
	})
}
