package command

import (
	"context"
	"slices"

	"towline/daemon"
	"towline/daemon/activity"
)

// Noun is a kind of thing that commands work on.
type Noun string

// What a command can work on.
const (
	Nothing Noun = "none" // it shows or makes what is the caller's own, which every member may
	App     Noun = "app"
	Addon   Noun = "add-on"
	Backup  Noun = "backup"
	Member  Noun = "member" // who may change their own keys, and whom administrators may change
	Host    Noun = "host"   // administrators only
	// Line is a pipeline, whose rights come from those on its apps.
	Line Noun = "pipeline"
)

// Subject is a thing that a command works on and what its caller must be permitted to do
// with it. Every command declares its subjects; authorize asks for each of them, in their
// order, before the command runs. No command asks for itself.
type Subject struct {
	Of    Noun
	Needs daemon.Permission // with an app, or with the app that owns an add-on or a backup
	// When names the flag without which the command does not work on this subject; Unless the flag
	// with which it works on another in its place.
	When, Unless string

	attached bool                                           // who may do so with an app that the add-on is attached to, may too
	takesApp bool                                           // the command wants an app by -a
	names    func(context.Context, *Call) ([]string, error) // none: not this time
	// allowed asks for the rights in a way of its own; apps tells for the help on which apps of a
	// pipeline it wants some too.
	allowed func(context.Context, *Call, string) error
	apps    string
}

// on lists a command's subjects.
func on(subjects ...Subject) []Subject { return subjects }

// nothing is the subject of a command that every member may give.
func nothing() Subject { return Subject{Of: Nothing} }

// theHost is the subject of a command for administrators.
func theHost() Subject { return Subject{Of: Host, Needs: daemon.Admin} }

// theApp is the app of -a, which must be given.
func theApp(p daemon.Permission) Subject {
	return Subject{Of: App, Needs: p, takesApp: true, names: func(_ context.Context, call *Call) ([]string, error) {
		return []string{call.App}, nil
	}}
}

// appOfFlag is the app of an -a that may be left out.
func appOfFlag(p daemon.Permission) Subject {
	return Subject{Of: App, Needs: p, names: flagValue("app")}
}

// appOfArgument is the app that the first argument names.
func appOfArgument(p daemon.Permission) Subject {
	return Subject{Of: App, Needs: p, names: func(_ context.Context, call *Call) ([]string, error) {
		return call.Args[:1], daemon.CheckAppName(call.Args[0])
	}}
}

// theAddon is the add-on that the first argument names, if there is one.
func theAddon(p daemon.Permission) Subject { return Subject{Of: Addon, Needs: p, names: firstArgument} }

// theAddonSeen is theAddon for whoever may view the app that owns it, or one that it is
// attached to.
func theAddonSeen() Subject {
	return Subject{Of: Addon, Needs: daemon.View, attached: true, names: firstArgument}
}

// addonOfFlag is the add-on that a flag names, if it is given.
func addonOfFlag(flag string, p daemon.Permission) Subject {
	return Subject{Of: Addon, Needs: p, names: flagValue(flag)}
}

// addonsOfApp are all add-ons attached to the app of -a.
func addonsOfApp(p daemon.Permission) Subject {
	return Subject{Of: Addon, Needs: p, names: func(ctx context.Context, call *Call) ([]string, error) {
		info, err := call.Apps.Info(ctx, call.App)
		return info.Addons, err
	}}
}

// theMember is the member that the argument at i names; else it is who asks.
func theMember(i int) Subject {
	return Subject{Of: Member, names: func(_ context.Context, call *Call) ([]string, error) {
		if len(call.Args) <= i {
			return nil, nil
		}
		return call.Args[i : i+1], nil
	}}
}

// thePipeline is the pipeline that the first argument names.
func thePipeline(p daemon.Permission) Subject {
	return Subject{Of: Line, Needs: p, names: firstArgument}
}

// pipelineOfFlag is the pipeline that --pipeline names, if it does.
func pipelineOfFlag(p daemon.Permission) Subject {
	return Subject{Of: Line, Needs: p, names: flagValue(pipelineFlag)}
}

// accessByPipeline is the pipeline that --pipeline names, with the apps that access by it, or by its
// stage of --stage, reaches.
func accessByPipeline() Subject {
	s := pipelineOfFlag(daemon.Manage)
	s.apps, s.allowed = "on each of its apps that this reaches", func(ctx context.Context, call *Call, name string) error {
		return call.Pipelines.AllowedAccess(ctx, call.Member, name, call.reach())
	}
	return s
}

// thePipelineWithAccess is the pipeline that the first argument names, with the apps that access by it
// reaches.
func thePipelineWithAccess() Subject {
	s := thePipeline(daemon.Manage)
	s.apps, s.allowed = "on each of its apps that members have access to by it", func(ctx context.Context, call *Call, name string) error {
		return call.Pipelines.AllowedEnd(ctx, call.Member, name)
	}
	return s
}

// pipelineOfApp is the pipeline that the app of -a is in.
func pipelineOfApp(p daemon.Permission) Subject {
	return Subject{Of: Line, Needs: p, names: func(ctx context.Context, call *Call) ([]string, error) {
		c, err := call.Pipelines.Coupling(ctx, call.App)
		return []string{c.Pipeline}, err
	}}
}

// promotionTargets are the apps that the app of -a would be promoted to: those of --to, or of the
// next stage. They are in Call.Targets then, and stay the same as long as the call goes on.
func promotionTargets(p daemon.Permission) Subject {
	return Subject{Of: App, Needs: p, names: func(ctx context.Context, call *Call) ([]string, error) {
		if len(call.Targets) > 0 {
			return call.Targets, nil
		}
		to, err := call.to()
		if err == nil {
			call.Targets, err = call.Pipelines.Targets(ctx, call.Member, call.App, to)
		}
		return call.Targets, err
	}}
}

// theBackup is the backup that the first argument names, if there is one: by its ID, the
// beginning of it, or as latest. It is in Call.Backup then.
func theBackup(p daemon.Permission) Subject {
	return Subject{Of: Backup, Needs: p, names: func(ctx context.Context, call *Call) ([]string, error) {
		if len(call.Args) == 0 {
			return nil, nil
		}
		id, err := call.Backups.BackupNamed(ctx, call.Member, call.Args[0])
		return []string{id}, err
	}}
}

// when restricts a subject to calls with a flag that is set.
func (s Subject) when(flag string) Subject {
	s.When = flag
	return s
}

// unless restricts a subject to calls without a flag.
func (s Subject) unless(flag string) Subject {
	s.Unless = flag
	return s
}

// replaced tells whether a flag names another thing to work on in place of the subject.
func (call *Call) replaced(s Subject) bool { return s.Unless != "" && call.Flags.Changed(s.Unless) }

// inPlaceOfApp is the flag that names another thing in place of the app of -a; empty: there is none.
func (c *Command) inPlaceOfApp() string {
	i := slices.IndexFunc(c.On, func(s Subject) bool { return s.takesApp && s.Unless != "" })
	if i < 0 {
		return ""
	}
	return c.On[i].Unless
}

func firstArgument(_ context.Context, call *Call) ([]string, error) {
	return call.Args[:min(1, len(call.Args))], nil
}

func flagValue(flag string) func(context.Context, *Call) ([]string, error) {
	return func(_ context.Context, call *Call) ([]string, error) {
		if value, _ := call.Flags.GetString(flag); value != "" {
			return []string{value}, nil
		}
		return nil, nil
	}
}

// authorize is the one place where a caller's rights are looked at: it fails unless the
// member may do what the command needs with each of its subjects, as things are now.
func (call *Call) authorize(ctx context.Context, c *Command) error {
	for _, s := range c.On {
		if given, _ := call.Flags.GetBool(s.When); s.When != "" && !given || call.replaced(s) {
			continue
		}
		if err := call.authorizeSubject(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (call *Call) authorizeSubject(ctx context.Context, s Subject) error {
	switch s.Of {
	case Nothing:
		return nil
	case Host:
		return call.People.AllowedHost(ctx, call.Member)
	}
	names, err := s.names(ctx, call)
	if err != nil {
		return err
	}
	for _, name := range names {
		switch {
		case s.allowed != nil:
			err = s.allowed(ctx, call, name)
		case s.Of == App:
			err = call.People.Allowed(ctx, call.Member, name, s.Needs)
		case s.Of == Addon && s.attached:
			err = call.Addons.SeesAddon(ctx, call.Member, name)
		case s.Of == Addon:
			err = call.Addons.AllowedAddon(ctx, call.Member, name, s.Needs)
		case s.Of == Backup:
			call.Backup, err = call.Backups.AllowedBackup(ctx, call.Member, name, s.Needs)
		case s.Of == Line:
			err = call.Pipelines.Allowed(ctx, call.Member, name, s.Needs)
		case s.Of == Member:
			err = call.People.AllowedMember(ctx, call.Member, name)
		}
		if err != nil {
			call.denied = denied(s.Of, name)
			return err
		}
	}
	return nil
}

func denied(of Noun, name string) (d activity.Denied) {
	switch of {
	case App:
		d.App = name
	case Addon:
		d.Addon = name
	case Backup:
		d.Backup = name
	}
	return d
}

// takesApp tells whether the command wants an app by -a.
func (c *Command) takesApp() bool {
	return slices.ContainsFunc(c.On, func(s Subject) bool { return s.takesApp })
}

// needs says who may give the command, for its help.
func (c *Command) needs() (lines []string) {
	of := map[Noun]string{
		App: "the app", Addon: "the app that owns the add-on", Backup: "the app that owns the backup's add-on",
	}
	for _, s := range c.On {
		line := ""
		switch {
		case s.Of == Host:
			line = "Administrators only."
		case s.Of == Member:
			line = "For your own keys; administrators may for all."
		case s.Of == Line:
			line = "Needs " + string(s.Needs) + " on the pipeline: its owner has it, and who has that permission on " + orElse(s.Needs == daemon.View, func() string { return "one of its apps" }, "all of its apps") +
				orElse(s.apps != "", func() string { return "; and " + string(s.Needs) + " " + s.apps }, "") + "."
		case of[s.Of] != "" && s.Unless != "":
			line = "Without --" + s.Unless + " it needs the permission " + string(s.Needs) + " on " + of[s.Of] + "."
		case s.attached:
			line = "Needs the permission view on the app that owns the add-on, or on one that it is attached to."
		case of[s.Of] != "" && s.When != "":
			line = "With --" + s.When + " it needs the permission " + string(s.Needs) + " on " + of[s.Of] + "."
		case of[s.Of] != "":
			line = "Needs the permission " + string(s.Needs) + " on " + of[s.Of] + "."
		}
		if line != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}
