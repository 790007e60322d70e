package people

import (
	"errors"
	"slices"
	"strings"

	"towline/daemon"
)

// This file puts together what a member may do with an app: what was given for the app itself, and
// what its pipeline gives for the stage that it is in. It is asked for anew each time, so that who
// moves the app changes it at once.

// Rights are what a member may do with an app, and what it comes from.
type Rights struct {
	App         string              `json:"app"`
	Member      string              `json:"member"`
	Permissions []daemon.Permission `json:"permissions"`
	From        []Source            `json:"from"`
}

// Source is what gives permissions on an app: its pipeline, or somebody for the app itself.
type Source struct {
	Pipeline    string              `json:"pipeline,omitempty"` // empty: given for the app itself
	Stage       daemon.Stage        `json:"stage,omitempty"`    // empty, of a pipeline: for all
	Permissions []daemon.Permission `json:"permissions"`
}

// String is the source in a listing.
func (s Source) String() string {
	switch {
	case s.Pipeline == "":
		return "the app"
	case s.Stage == "":
		return "pipeline " + s.Pipeline
	}
	return "pipeline " + s.Pipeline + ", " + string(s.Stage)
}

// PipelineFlags are those by which one types access by a pipeline: to the apps in a stage, or in all.
func PipelineFlags(pipeline string, stage daemon.Stage) string {
	if stage == "" {
		return "--pipeline " + pipeline
	}
	return "--pipeline " + pipeline + " --stage " + string(stage)
}

// RightsOn are what members may do with an app, by member. Administrators, who may do everything, are
// in it only for what they were given.
func RightsOn(tx daemon.Tx, app string) ([]Rights, error) {
	direct, err := tx.Access(app)
	if err != nil {
		return nil, err
	}
	pipeline, err := tx.AccessByPipeline(app)
	if err != nil {
		return nil, err
	}
	all := []Rights{}
	add := func(member string, s Source) {
		i, found := slices.BinarySearchFunc(all, member, func(r Rights, m string) int { return strings.Compare(r.Member, m) })
		if !found {
			all = slices.Insert(all, i, Rights{App: app, Member: member})
		}
		all[i].From = append(all[i].From, s)
		all[i].Permissions = inOrder(append(all[i].Permissions, s.Permissions...))
	}
	for _, a := range direct {
		add(a.Member, Source{Permissions: a.Permissions})
	}
	for _, a := range pipeline {
		add(a.Member, Source{Pipeline: a.Pipeline, Stage: a.Stage, Permissions: a.Permissions})
	}
	return all, nil
}

// RightsOf are a member's on an app; none: they have no From.
func RightsOf(tx daemon.Tx, app, member string) (Rights, error) {
	all, err := RightsOn(tx, app)
	if i := slices.IndexFunc(all, func(r Rights) bool { return r.Member == member }); i >= 0 {
		return all[i], err
	}
	return Rights{App: app, Member: member}, err
}

// grantable are the permissions that can be given, in their order.
var grantable = []daemon.Permission{daemon.View, daemon.Deploy, daemon.Operate, daemon.Manage}

// inOrder has each permission once.
func inOrder(ps []daemon.Permission) (ordered []daemon.Permission) {
	for _, p := range grantable {
		if slices.Contains(ps, p) {
			ordered = append(ordered, p)
		}
	}
	return ordered
}

// CheckPermissions tells whether they can be given, and returns what is: each once, and view, which
// every one of them includes.
func CheckPermissions(ps []daemon.Permission) ([]daemon.Permission, error) {
	for _, p := range ps {
		if !slices.Contains(grantable, p) {
			return nil, daemon.Errorf(daemon.Invalid, "there is no permission %q", daemon.Clip(string(p))).WithHint("use view, deploy, operate, manage")
		}
	}
	if len(ps) == 0 {
		return nil, nil
	}
	return inOrder(append([]daemon.Permission{daemon.View}, ps...)), nil
}

// Changes are who may do what with which apps since something was done, and could not before.
type Changes struct {
	Members []Change `json:"members"`
	// Unmanaged are the apps that nobody but administrators may manage any more.
	Unmanaged []string `json:"unmanaged_apps"`
}

// Change is what a member has gained and lost on an app.
type Change struct {
	App    string              `json:"app"`
	Member string              `json:"member"`
	Gained []daemon.Permission `json:"gained,omitempty"`
	Lost   []daemon.Permission `json:"lost,omitempty"`
}

// Changing does what changes rights on apps by their pipeline, and tells and records what that has
// come to for whom. by is who does it.
func Changing(tx daemon.Tx, apps []string, pipeline, by string, change func() error) (Changes, error) {
	c := Changes{Members: []Change{}, Unmanaged: []string{}}
	before := map[string][]Rights{}
	for _, app := range apps {
		rights, err := RightsOn(tx, app)
		if err != nil {
			return c, err
		}
		before[app] = rights
	}
	if err := change(); err != nil {
		return c, err
	}
	for _, app := range apps {
		after, err := RightsOn(tx, app)
		if err != nil {
			return c, err
		}
		c.Members = append(c.Members, compareRights(app, before[app], after)...)
		if managed(before[app]) && !managed(after) {
			c.Unmanaged = append(c.Unmanaged, app)
		}
	}
	var err error
	for _, m := range c.Members {
		event := daemon.Activity{Time: daemon.Now(), Member: by, App: m.App, Subject: m.Member}
		if len(m.Gained) > 0 {
			event.Kind, event.Names, event.Text = daemon.AccessAdded, names(m.Gained), "gave "+m.Member+" the permissions "+JoinPermissions(m.Gained)+" by the pipeline "+pipeline
			err = errors.Join(err, tx.RecordActivity(event))
		}
		if len(m.Lost) > 0 {
			event.Kind, event.Names, event.Text = daemon.AccessRemoved, names(m.Lost), "took the permissions "+JoinPermissions(m.Lost)+" of "+m.Member+" by the pipeline "+pipeline
			err = errors.Join(err, tx.RecordActivity(event))
		}
	}
	return c, err
}

// compareRights tells of each member with what they gained and lost, by member.
func compareRights(app string, before, after []Rights) (list []Change) {
	had, have := byMember(before), byMember(after)
	var members []string
	for _, r := range slices.Concat(before, after) {
		members = append(members, r.Member)
	}
	slices.Sort(members)
	for _, m := range slices.Compact(members) {
		c := Change{App: app, Member: m, Gained: without(have[m], had[m]), Lost: without(had[m], have[m])}
		if len(c.Gained)+len(c.Lost) > 0 {
			list = append(list, c)
		}
	}
	return list
}

func byMember(rights []Rights) map[string][]daemon.Permission {
	m := map[string][]daemon.Permission{}
	for _, r := range rights {
		m[r.Member] = r.Permissions
	}
	return m
}

// without are those of a that are not in b.
func without(a, b []daemon.Permission) []daemon.Permission {
	return slices.DeleteFunc(slices.Clone(a), func(p daemon.Permission) bool { return slices.Contains(b, p) })
}

func managed(rights []Rights) bool {
	return slices.ContainsFunc(rights, func(r Rights) bool { return slices.Contains(r.Permissions, daemon.Manage) })
}
