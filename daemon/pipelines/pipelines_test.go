package pipelines

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/people"
	"towline/daemon/store"
)

// newPipelines has a pipeline of staging, two productions and a development, and an app beside it.
func newPipelines(t *testing.T) *Pipelines {
	t.Helper()
	dir := t.TempDir()
	key, err := store.LoadKey(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), filepath.Join(dir, "towline.db"), key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	ps := New(Options{Store: db, People: people.New(people.Options{Store: db})})
	err = db.Update(t.Context(), func(tx daemon.Tx) error {
		for _, app := range []string{"shop-dev", "shop-staging", "shop", "shop-eu", "blog"} {
			if err := tx.InsertApp(daemon.App{Name: app, Created: time.Now(), Config: map[string]string{"APP": app, strings.ToUpper(app[:4]): ""}}); err != nil {
				return err
			}
		}
		for _, m := range []string{"alice", "bob", "eve"} {
			if err := tx.InsertMember(daemon.Member{Name: m, Created: time.Now()}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ps.Create(t.Context(), "safetow", "alice", "shop-staging", daemon.StageStaging); err != nil {
		t.Fatal(err)
	}
	for app, stage := range map[string]daemon.Stage{"shop": daemon.StageProduction, "shop-eu": daemon.StageProduction, "shop-dev": daemon.StageDevelopment} {
		if _, err := ps.Couple(t.Context(), daemon.Coupling{App: app, Pipeline: "safetow", Stage: stage}, "alice", false); err != nil {
			t.Fatal(err)
		}
	}
	return ps
}

func TestTargets(t *testing.T) {
	ps := newPipelines(t)
	for _, c := range []struct {
		app  string
		to   []string
		want string // targets, or a word of the error
		kind daemon.Kind
	}{
		{"shop-staging", nil, "shop shop-eu", ""},
		{"shop-dev", nil, "shop-staging", ""},
		{"shop-dev", []string{"shop-eu"}, "shop-eu", ""},
		{"shop-staging", []string{"shop", "shop"}, "shop", ""},
		{"shop", []string{"shop-staging"}, "shop-staging", ""}, // any stage, if it is named
		{"shop", nil, "nothing comes after", daemon.Conflict},
		{"shop-staging", []string{"shop-staging"}, "to itself", daemon.Invalid},
		{"shop-staging", []string{"blog"}, "not in the pipeline", daemon.NotFound},
		{"shop-staging", []string{"nosuch"}, "not in the pipeline", daemon.NotFound},
		{"blog", nil, "in no pipeline", daemon.Conflict},
		{"nosuch", nil, "there is no app", daemon.NotFound},
	} {
		got, err := ps.Targets(t.Context(), "", c.app, c.to)
		switch {
		case c.kind == "" && (err != nil || strings.Join(got, " ") != c.want):
			t.Errorf("%s to %v: %v, %v", c.app, c.to, got, err)
		case c.kind != "" && (!daemon.IsKind(err, c.kind) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s to %v: %v, %v", c.app, c.to, got, err)
		}
	}
	if _, _, err := ps.Uncouple(t.Context(), "shop-staging", "alice"); err != nil {
		t.Fatal(err)
	}
	if _, err := ps.Targets(t.Context(), "", "shop-dev", nil); !daemon.IsKind(err, daemon.Conflict) || !strings.Contains(err.Error(), "no app in staging") {
		t.Errorf("with nothing downstream: %v", err)
	}
}

// TestHiddenTargets: who may not view an app of the pipeline can't tell it from one that is not
// there.
func TestHiddenTargets(t *testing.T) {
	ps := newPipelines(t)
	err := ps.Store.Update(t.Context(), func(tx daemon.Tx) error {
		return all(tx.PutAccess(daemon.Access{App: "shop-staging", Member: "bob", Permissions: []daemon.Permission{daemon.View, daemon.Deploy}}),
			tx.PutAccess(daemon.Access{App: "shop", Member: "bob", Permissions: []daemon.Permission{daemon.View}}))
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ps.Targets(t.Context(), "bob", "shop-staging", nil); !daemon.IsKind(err, daemon.Forbidden) || strings.Contains(err.Error(), "shop-eu") || !strings.Contains(err.Error(), "1 that you may not view") {
		t.Errorf("of the next stage: %v", err)
	}
	if got, err := ps.Targets(t.Context(), "bob", "shop-staging", []string{"shop"}); err != nil || len(got) != 1 {
		t.Errorf("one that they may view: %v, %v", got, err)
	}
	_, hidden := ps.Targets(t.Context(), "bob", "shop-staging", []string{"shop-eu"})
	_, none := ps.Targets(t.Context(), "bob", "shop-staging", []string{"shop-no"})
	if !daemon.IsKind(hidden, daemon.NotFound) || strings.ReplaceAll(hidden.Error(), "shop-eu", "shop-no") != none.Error() {
		t.Errorf("%v, but %v", hidden, none)
	}
}

func TestCoupling(t *testing.T) {
	ps := newPipelines(t)
	ctx := t.Context()
	if _, err := ps.Create(ctx, "other", "bob", "", ""); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		err  error
		kind daemon.Kind
	}{
		"an app in two pipelines":    {failure(ps.Couple(ctx, daemon.Coupling{App: "shop", Pipeline: "other", Stage: daemon.StageStaging}, "bob", false)), daemon.Conflict},
		"moved to another pipeline":  {failure(ps.Couple(ctx, daemon.Coupling{App: "shop", Pipeline: "other", Stage: daemon.StageStaging}, "bob", true)), daemon.Conflict},
		"twice":                      {failure(ps.Couple(ctx, daemon.Coupling{App: "shop", Pipeline: "safetow", Stage: daemon.StageStaging}, "bob", false)), daemon.Conflict},
		"a stage that is none":       {failure(ps.Couple(ctx, daemon.Coupling{App: "blog", Pipeline: "other", Stage: "canary"}, "bob", false)), daemon.Invalid},
		"an app that is none":        {failure(ps.Couple(ctx, daemon.Coupling{App: "nosuch", Pipeline: "other", Stage: daemon.StageStaging}, "bob", false)), daemon.NotFound},
		"a pipeline that is none":    {failure(ps.Couple(ctx, daemon.Coupling{App: "blog", Pipeline: "nosuch", Stage: daemon.StageStaging}, "bob", false)), daemon.NotFound},
		"a name that is taken":       {ps.Rename(ctx, "other", "safetow", "bob"), daemon.Exists},
		"a name that is none":        {ps.Rename(ctx, "other", "No Such", "bob"), daemon.Invalid},
		"a rename to what it is":     {ps.Rename(ctx, "safetow", "safetow", "alice"), daemon.Invalid},
		"a rename of what is not":    {ps.Rename(ctx, "nosuch", "new", "bob"), daemon.NotFound},
		"destruction of what is not": {failure(ps.Destroy(ctx, "nosuch", "bob")), daemon.NotFound},
	} {
		if !daemon.IsKind(c.err, c.kind) {
			t.Errorf("%s: %v", what, c.err)
		}
	}
	if _, err := ps.Couple(ctx, daemon.Coupling{App: "shop", Pipeline: "safetow", Stage: daemon.StageStaging}, "bob", true); err != nil {
		t.Error(err)
	}
	if err := ps.Rename(ctx, "safetow", "tow", "alice"); err != nil {
		t.Fatal(err)
	}
	if c, err := ps.Coupling(ctx, "shop"); err != nil || c.Pipeline != "tow" || c.Stage != daemon.StageStaging {
		t.Errorf("%+v, %v", c, err)
	}
	// An app that is renamed stays where it is, and one that is destroyed is nowhere.
	err := ps.Store.Update(ctx, func(tx daemon.Tx) error {
		if err := tx.RenameApp("shop-eu", "shop-fr"); err != nil {
			return err
		}
		return tx.DeleteApp("shop-dev")
	})
	if err != nil {
		t.Fatal(err)
	}
	info, err := ps.Info(ctx, "tow", "")
	var names []string
	for _, p := range info.Apps {
		names = append(names, p.App)
	}
	if want := []string{"shop", "shop-staging", "shop-fr"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%v, %v, want %v", names, err, want)
	}
	if _, err := ps.Destroy(ctx, "tow", "alice"); err != nil {
		t.Fatal(err)
	}
	if _, err := ps.Coupling(ctx, "shop"); !daemon.IsKind(err, daemon.Conflict) {
		t.Errorf("after the pipeline: %v", err)
	}
}

// TestPipelineRights: the owner may do everything, others what their rights on its apps come to,
// and to who may view none of them it is not there.
func TestPipelineRights(t *testing.T) {
	ps := newPipelines(t)
	give := func(member, app string, p ...daemon.Permission) {
		t.Helper()
		err := ps.Store.Update(t.Context(), func(tx daemon.Tx) error {
			return tx.PutAccess(daemon.Access{App: app, Member: member, Permissions: append(p, daemon.View)})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	allowed := func(member string, p daemon.Permission) error { return ps.Allowed(t.Context(), member, "safetow", p) }
	if err := allowed("alice", daemon.Manage); err != nil {
		t.Error(err)
	}
	if err := allowed("bob", daemon.View); !daemon.IsKind(err, daemon.NotFound) {
		t.Error(err)
	}
	if list, err := ps.List(t.Context(), "bob"); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	give("bob", "shop", daemon.Manage)
	if err := allowed("bob", daemon.View); err != nil {
		t.Error(err)
	}
	if err := allowed("bob", daemon.Manage); !daemon.IsKind(err, daemon.Forbidden) {
		t.Error(err)
	}
	info, err := ps.Info(t.Context(), "safetow", "bob")
	if err != nil || len(info.Apps) != 1 || info.Apps[0].App != "shop" || info.Hidden != 3 {
		t.Errorf("%+v, %v", info, err)
	}
	for _, app := range []string{"shop-dev", "shop-staging", "shop-eu"} {
		give("bob", app, daemon.Manage)
	}
	if err := allowed("bob", daemon.Manage); err != nil {
		t.Error(err)
	}
}

// TestOwnerLeaves: a later member of the name has nothing of an earlier one's.
func TestOwnerLeaves(t *testing.T) {
	ps := newPipelines(t)
	err := ps.Store.Update(t.Context(), func(tx daemon.Tx) error {
		return all(tx.DeleteMember("alice"), tx.InsertMember(daemon.Member{Name: "alice", Created: time.Now()}))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := ps.Allowed(t.Context(), "alice", "safetow", daemon.View); !daemon.IsKind(err, daemon.NotFound) {
		t.Errorf("a later alice sees the pipeline: %v", err)
	}
	if list, err := ps.List(t.Context(), "alice"); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	if info, err := ps.Info(t.Context(), "safetow", ""); err != nil || info.Owner != "" || len(info.Apps) != 4 {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestDiffOfConfig(t *testing.T) {
	ps := newPipelines(t)
	err := ps.Store.Update(t.Context(), func(tx daemon.Tx) error {
		a, err := tx.App("shop-staging")
		if err != nil {
			return err
		}
		a.Config = map[string]string{"APP": "secret", "NEW": "secret", "CACHE_URL": "secret"}
		return all(tx.UpdateApp(a), tx.InsertAddon(daemon.Addon{Name: "cache", App: "shop-staging", Service: "redis"}),
			tx.InsertAttachment(daemon.AddonAttachment{Addon: "cache", App: "shop-staging", Vars: []string{"CACHE_URL"}}))
	})
	if err != nil {
		t.Fatal(err)
	}
	d, err := ps.Diff(t.Context(), "", "shop-staging", "shop")
	if err != nil || !slices.Equal(d.Config.From, []string{"NEW"}) || !slices.Equal(d.Config.To, []string{"SHOP"}) || !slices.Equal(d.Addons.From, []string{"redis"}) || d.Unknown == "" {
		t.Errorf("%+v, %v", d, err)
	}
}

// commits are what repositories have.
type commits struct {
	daemon.Repositories
	of map[string]string
}

func (c commits) Commits(_ context.Context, app, from, to string, most int) ([]daemon.Commit, int, error) {
	if has := c.of[app]; !strings.Contains(has, from) || !strings.Contains(has, to) {
		return nil, 0, daemon.Errorf(daemon.NotFound, "no such commit")
	}
	if most == 0 {
		return nil, 0, nil
	}
	return []daemon.Commit{{ID: to, Subject: "by " + app}}, 1, nil
}

// TestDiffOfPromoted: commits that were promoted to staging are where they were pushed to, for who may
// view that.
func TestDiffOfPromoted(t *testing.T) {
	ps := newPipelines(t)
	err := ps.Store.Update(t.Context(), func(tx daemon.Tx) error {
		for app, commit := range map[string]string{"shop-staging": "bbbb", "shop": "aaaa"} {
			rel := daemon.Release{App: app, Created: time.Now(), Commit: commit, Origin: &daemon.Origin{App: "shop-dev", Version: 2}}
			a, err := tx.App(app)
			if err := all(err, tx.InsertRelease(&rel)); err != nil {
				return err
			}
			a.Current = rel.Version
			if err := all(tx.UpdateApp(a), tx.PutAccess(daemon.Access{App: app, Member: "bob", Permissions: []daemon.Permission{daemon.View}})); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ps.Repositories = commits{of: map[string]string{"shop-dev": "aaaa bbbb"}}
	if d, err := ps.Diff(t.Context(), "", "shop-staging", "shop"); err != nil || d.Ahead != 1 || d.Unknown != "" {
		t.Errorf("by the repository of development: %+v, %v", d, err)
	}
	if d, err := ps.Diff(t.Context(), "bob", "shop-staging", "shop"); err != nil || d.Ahead != 0 || len(d.Commits) != 0 || d.Unknown == "" {
		t.Errorf("for who may not view that: %+v, %v", d, err)
	}
	ps.Repositories = commits{of: map[string]string{"shop-dev": "aaaa bbbb", "shop": "aaaa bbbb"}}
	if d, err := ps.Diff(t.Context(), "bob", "shop-staging", "shop"); err != nil || d.Ahead != 1 || d.Commits[0].Subject != "by shop" {
		t.Errorf("by the repository of production: %+v, %v", d, err)
	}
}

func failure(_ people.Changes, err error) error { return err }

func all(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
