package pipelines

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"towline/daemon"
	"towline/daemon/people"
)

var (
	view       = []daemon.Permission{daemon.View}
	viewDeploy = []daemon.Permission{daemon.View, daemon.Deploy}
	everything = []daemon.Permission{daemon.View, daemon.Deploy, daemon.Operate, daemon.Manage}
)

// manager lets a member manage apps, for each itself.
func (ps *Pipelines) manager(t *testing.T, member string, apps ...string) {
	t.Helper()
	for _, app := range apps {
		if err := ps.People.Grant(t.Context(), app, member, []daemon.Permission{daemon.Manage}, ""); err != nil {
			t.Fatal(err)
		}
	}
}

// rights are what a member may do with each app, as "shop:view,deploy".
func (ps *Pipelines) rights(t *testing.T, member string) string {
	t.Helper()
	var list []string
	err := ps.Store.View(t.Context(), func(tx daemon.Tx) error {
		for _, app := range []string{"blog", "shop", "shop-dev", "shop-eu", "shop-staging"} {
			var may []daemon.Permission
			for _, p := range everything {
				ok, err := people.May(tx, member, app, p)
				if err != nil {
					return err
				}
				if ok {
					may = append(may, p)
				}
			}
			if len(may) > 0 {
				list = append(list, app+":"+people.JoinPermissions(may))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, " ")
}

// TestRightsOnAnApp: each combination of what a member has by the app itself, by its stage, by another
// stage and by the whole pipeline comes to the union of what reaches the app.
func TestRightsOnAnApp(t *testing.T) {
	none := []daemon.Permission(nil)
	choices := [][]daemon.Permission{none, {daemon.View, daemon.Deploy}, {daemon.View, daemon.Operate}, {daemon.View, daemon.Manage}}
	ps := newPipelines(t)
	for _, direct := range choices {
		for _, stage := range choices {
			for _, elsewhere := range choices[:2] {
				for _, whole := range choices {
					undo := errors.New("undone")
					err := ps.Store.Update(t.Context(), func(tx daemon.Tx) error {
						put := func(stage daemon.Stage, p []daemon.Permission) error {
							if p == nil {
								return nil
							}
							return tx.PutPipelineAccess(daemon.PipelineAccess{Pipeline: "safetow", Stage: stage, Member: "bob", Permissions: p})
						}
						err := errors.Join(put(daemon.StageStaging, stage), put(daemon.StageReview, elsewhere), put("", whole))
						if direct != nil {
							err = errors.Join(err, tx.PutAccess(daemon.Access{App: "shop-staging", Member: "bob", Permissions: direct}))
						}
						if err != nil {
							return err
						}
						for app, wanted := range map[string][]daemon.Permission{"shop-staging": slices.Concat(direct, stage, whole), "shop": whole, "blog": nil} {
							rights, err := people.RightsOn(tx, app)
							if wanted == nil && len(rights) == 0 && err == nil {
								continue
							}
							if err != nil || len(rights) != 1 || rights[0].Member != "bob" {
								t.Fatalf("%s: %+v, %v", app, rights, err)
							}
							for _, p := range everything {
								if slices.Contains(rights[0].Permissions, p) != slices.Contains(wanted, p) {
									t.Errorf("app %v, stage %v, another %v, pipeline %v: %s of %s: %+v", direct, stage, elsewhere, whole, p, app, rights)
								}
							}
						}
						return undo
					})
					if !errors.Is(err, undo) {
						t.Fatal(err)
					}
				}
			}
		}
	}
}

// TestAccessFollowsTheApp: what a pipeline gives is there from the moment at which an app comes, goes
// when it goes, and each change says who gained and who lost what.
func TestAccessFollowsTheApp(t *testing.T) {
	ps := newPipelines(t)
	ctx := t.Context()
	ps.manager(t, "alice", "shop", "shop-eu", "shop-staging", "shop-dev", "blog")
	told := func(c people.Changes, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, m := range c.Members {
			list = append(list, fmt.Sprintf("%s %s +%s -%s", m.Member, m.App, people.JoinPermissions(m.Gained), people.JoinPermissions(m.Lost)))
		}
		return strings.Join(append(list, c.Unmanaged...), "; ")
	}
	give := func(member string, stage daemon.Stage, p ...daemon.Permission) (people.Changes, error) {
		g, err := ps.Grant(ctx, daemon.PipelineAccess{Pipeline: "safetow", Stage: stage, Member: member, Permissions: p}, "alice")
		return g.Changes, err
	}
	uncouple := func(app string) (people.Changes, error) {
		_, c, err := ps.Uncouple(ctx, app, "alice")
		return c, err
	}
	couple := func(app string, stage daemon.Stage, moves bool) (people.Changes, error) {
		return ps.Couple(ctx, daemon.Coupling{App: app, Pipeline: "safetow", Stage: stage}, "alice", moves)
	}
	check := func(what, got, want, bob string) {
		t.Helper()
		if got != want || ps.rights(t, "bob") != bob {
			t.Errorf("%s: %q, and bob may %q; want %q and %q", what, got, ps.rights(t, "bob"), want, bob)
		}
	}
	check("a stage", told(give("bob", daemon.StageStaging, daemon.Deploy)), "bob shop-staging +view,deploy -", "shop-staging:view,deploy")
	check("an app that comes", told(couple("blog", daemon.StageStaging, false)), "bob blog +view,deploy -", "blog:view,deploy shop-staging:view,deploy")
	check("one that moves away", told(couple("blog", daemon.StageProduction, true)), "bob blog + -view,deploy", "shop-staging:view,deploy")
	check("the whole", told(give("bob", "", daemon.Manage)), "bob shop-dev +view,manage -; bob shop-staging +manage -; bob blog +view,manage -; bob shop +view,manage -; bob shop-eu +view,manage -",
		"blog:view,manage shop:view,manage shop-dev:view,manage shop-eu:view,manage shop-staging:view,deploy,manage")
	check("less of the whole", told(give("bob", "", daemon.View)), "bob shop-dev + -manage; bob shop-staging + -manage; bob blog + -manage; bob shop + -manage; bob shop-eu + -manage",
		"blog:view shop:view shop-dev:view shop-eu:view shop-staging:view,deploy")
	check("another's", told(give("eve", daemon.StageStaging, daemon.View)), "eve shop-staging +view -", "blog:view shop:view shop-dev:view shop-eu:view shop-staging:view,deploy")
	check("one that moves", told(couple("shop-dev", daemon.StageStaging, true)), "bob shop-dev +deploy -; eve shop-dev +view -", "blog:view shop:view shop-dev:view,deploy shop-eu:view shop-staging:view,deploy")
	check("one that goes", told(uncouple("shop-dev")), "bob shop-dev + -view,deploy; eve shop-dev + -view", "blog:view shop:view shop-eu:view shop-staging:view,deploy")
	// Who has a right of their own keeps it.
	ps.manager(t, "bob", "shop")
	check("the whole taken", told(give("bob", "")), "bob blog + -view; bob shop-eu + -view", "shop:view,manage shop-staging:view,deploy")
	if err := ps.Rename(ctx, "safetow", "tow", "alice"); err != nil {
		t.Fatal(err)
	}
	check("a rename", "", "", "shop:view,manage shop-staging:view,deploy")
	err := ps.Store.Update(ctx, func(tx daemon.Tx) error {
		return errors.Join(tx.DeleteApp("blog"), tx.InsertApp(daemon.App{Name: "blog", Handle: "blog-2"}), tx.DeleteMember("eve"), tx.InsertMember(daemon.Member{Name: "eve"}))
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := ps.rights(t, "eve"); got != "" {
		t.Errorf("a later member of the name may %s", got)
	}
	check("a destruction", told(ps.Destroy(ctx, "tow", "alice")), "bob shop-staging + -view,deploy", "shop:view,manage")
	if _, err := ps.Create(ctx, "tow", "alice", "shop-staging", daemon.StageStaging); err != nil {
		t.Fatal(err)
	}
	check("a later pipeline of the name", "", "", "shop:view,manage")
}

// TestUnmanagedApps: what leaves an app with nobody who may manage it is told.
func TestUnmanagedApps(t *testing.T) {
	ps := newPipelines(t)
	grant := func(p ...daemon.Permission) Given {
		t.Helper()
		g, err := ps.Grant(t.Context(), daemon.PipelineAccess{Pipeline: "safetow", Stage: daemon.StageStaging, Member: "bob", Permissions: p}, "")
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	grant(daemon.Manage)
	if left, err := ps.People.SoleManager(t.Context(), "bob"); err != nil || !slices.Equal(left, []string{"shop-staging"}) {
		t.Errorf("%v, %v", left, err)
	}
	if g := grant(); !slices.Equal(g.Unmanaged, []string{"shop-staging"}) || len(g.Kept) != 0 {
		t.Errorf("%+v", g)
	}
	grant(daemon.Manage)
	ps.manager(t, "alice", "shop-staging")
	if g := grant(); len(g.Unmanaged) != 0 {
		t.Errorf("%+v", g)
	}
	grant(daemon.View)
	if err := ps.People.Grant(t.Context(), "shop-staging", "bob", view, ""); err != nil {
		t.Fatal(err)
	}
	if g := grant(); len(g.Kept) != 1 || g.Kept[0].App != "shop-staging" || len(g.Members) != 0 {
		t.Errorf("what he keeps: %+v", g)
	}
}

// TestWhoMayGiveByAPipeline: nobody comes by a pipeline to rights on an app that they do not manage,
// nor takes or gives others any.
func TestWhoMayGiveByAPipeline(t *testing.T) {
	ps := newPipelines(t) // alice owns it, and may do nothing with its apps
	ctx := t.Context()
	give := func(by string, stage daemon.Stage) error { return ps.AllowedAccess(ctx, by, "safetow", stage) }
	all := []string{"shop", "shop-eu", "shop-staging", "shop-dev"}
	want := func(what string, err error, kind daemon.Kind, words ...string) {
		t.Helper()
		if kind == "" && err != nil || kind != "" && !daemon.IsKind(err, kind) {
			t.Errorf("%s: %v", what, err)
		}
		for _, app := range words {
			if err != nil && strings.Contains(err.Error(), app) {
				t.Errorf("%s: it names %s: %v", what, app, err)
			}
		}
	}
	want("its owner", give("alice", ""), daemon.Forbidden, all...)
	want("its owner, of a stage", give("alice", daemon.StageStaging), daemon.Forbidden, all...)
	want("its owner, of an empty stage", give("alice", daemon.StageReview), "") // nobody has an app there
	want("nobody", give("bob", ""), daemon.NotFound)
	want("no pipeline", ps.AllowedAccess(ctx, "bob", "nosuch", ""), daemon.NotFound)
	want("no stage", give("alice", "canary"), daemon.Invalid)
	_, err := ps.Grant(ctx, daemon.PipelineAccess{Pipeline: "safetow", Member: "alice", Permissions: everything}, "alice")
	want("an app that came in between", err, daemon.Forbidden)
	if got := ps.rights(t, "alice"); got != "" {
		t.Errorf("alice may %s", got)
	}
	ps.manager(t, "bob", "shop-staging")
	want("a manager of one app", give("bob", daemon.StageStaging), daemon.Forbidden)
	ps.manager(t, "alice", "shop-staging")
	want("its owner, who manages the stage", give("alice", daemon.StageStaging), "")
	want("its owner, who does not manage all", give("alice", ""), daemon.Forbidden)
	ps.manager(t, "eve", all...)
	want("who manages all apps", give("eve", ""), "")
	_, err = ps.Grant(ctx, daemon.PipelineAccess{Pipeline: "safetow", Member: "bob", Permissions: view}, "eve")
	want("who manages all apps", err, "")
	// Who owns the pipeline can't take what others have by it from apps of others.
	want("an end by its owner", ps.AllowedEnd(ctx, "alice", "safetow"), daemon.Forbidden)
	_, err = ps.Destroy(ctx, "safetow", "alice") // asked before the right was given
	want("an end that was allowed when it was asked", err, daemon.Forbidden)
	want("an end by who manages all", ps.AllowedEnd(ctx, "eve", "safetow"), "")
	_, err = ps.Grant(ctx, daemon.PipelineAccess{Pipeline: "safetow", Member: "bob"}, "eve")
	want("taken", err, "")
	want("an end that takes nothing", ps.AllowedEnd(ctx, "alice", "safetow"), "")
	// A later member of the owner's name is not the owner.
	if err := ps.Store.Update(ctx, func(tx daemon.Tx) error {
		return errors.Join(tx.DeleteMember("alice"), tx.InsertMember(daemon.Member{Name: "alice"}))
	}); err != nil {
		t.Fatal(err)
	}
	want("a later member of the name", ps.Allowed(ctx, "alice", "safetow", daemon.View), daemon.NotFound)
}

// TestWhoSeesAccess: those who see it on an app see it on the pipeline, and no more; and who has some
// sees the pipeline, even one without an app for them.
func TestWhoSeesAccess(t *testing.T) {
	ps := newPipelines(t)
	for _, a := range []daemon.PipelineAccess{{Stage: daemon.StageReview, Member: "bob"}, {Stage: daemon.StageStaging, Member: "carol"}, {Member: "carol"}, {Stage: daemon.StageProduction, Member: "dan"}} {
		a.Pipeline, a.Permissions = "safetow", viewDeploy
		if err := ps.Store.Update(t.Context(), func(tx daemon.Tx) error {
			if err := tx.InsertMember(daemon.Member{Name: a.Member}); err != nil && !daemon.IsKind(err, daemon.Exists) {
				return err
			}
			return tx.PutPipelineAccess(a)
		}); err != nil {
			t.Fatal(err)
		}
	}
	for member, want := range map[string]string{"": "bob:review carol: carol:staging dan:production", "alice": "bob:review carol: carol:staging dan:production",
		"bob": "bob:review", "dan": "carol: dan:production", "carol": "carol: carol:staging dan:production", "eve": "nothing"} {
		list, err := ps.List(t.Context(), member)
		if want == "nothing" {
			if err != nil || len(list) != 0 {
				t.Errorf("%s: %v, %v", member, list, err)
			}
			continue
		}
		if err != nil || len(list) != 1 {
			t.Errorf("%s lists %v, %v", member, list, err)
		}
		info, err := ps.Info(t.Context(), "safetow", member)
		access, aerr := ps.Access(t.Context(), "safetow", member)
		var got []string
		for _, a := range access {
			got = append(got, a.Member+":"+string(a.Stage))
		}
		if err != nil || aerr != nil || strings.Join(got, " ") != want || len(info.Access) != len(access) {
			t.Errorf("%s sees %v and %v, %v, %v", member, got, info.Access, err, aerr)
		}
	}
}
