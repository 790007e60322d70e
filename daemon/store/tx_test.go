package store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"towline/daemon"
)

func TestApps(t *testing.T) {
	s := open(t, t.TempDir())
	shop, blog := filled[daemon.App](1), filled[daemon.App](2)
	shop.Name, blog.Name = "shop", "blog"
	update(t, s, func(tx daemon.Tx) error { return all(tx.InsertApp(shop), tx.InsertApp(blog)) })
	equal(t, "apps", view(t, s, daemon.Tx.Apps), []daemon.App{blog, shop})

	handle := shop.Handle // stays
	shop = filled[daemon.App](3)
	shop.Name, shop.Handle = "shop", handle
	update(t, s, func(tx daemon.Tx) error { return tx.UpdateApp(shop) })
	equal(t, "app", view(t, s, func(tx daemon.Tx) (daemon.App, error) { return tx.App("shop") }), shop)
	empty := daemon.App{Name: "empty", Handle: "empty"}
	update(t, s, func(tx daemon.Tx) error { return tx.InsertApp(empty) })
	equal(t, "empty app", view(t, s, func(tx daemon.Tx) (daemon.App, error) { return tx.App("empty") }), empty)

	update(t, s, func(tx daemon.Tx) error {
		isError(t, tx.InsertApp(shop), daemon.ErrExists, `app "shop"`)
		isError(t, tx.UpdateApp(daemon.App{Name: "nope"}), daemon.ErrNotFound, `app "nope"`)
		isError(t, tx.DeleteApp("nope"), daemon.ErrNotFound, `app "nope"`)
		_, err := tx.App("nope")
		isError(t, err, daemon.ErrNotFound, `app "nope"`)
		return tx.DeleteApp("blog")
	})
	equal(t, "apps after errors", view(t, s, daemon.Tx.Apps), []daemon.App{empty, shop})
}

func TestReleases(t *testing.T) {
	s := open(t, t.TempDir())
	releases := func() []daemon.Release {
		return view(t, s, func(tx daemon.Tx) ([]daemon.Release, error) { return tx.Releases("shop") })
	}
	first, second := filled[daemon.Release](1), filled[daemon.Release](2)
	first.App, second.App = "shop", "shop"
	first.ConfigDropped, second.Config = false, nil // either is dropped, or has config vars
	update(t, s, func(tx daemon.Tx) error {
		return all(tx.InsertApp(daemon.App{Name: "shop"}), tx.InsertRelease(&first), tx.InsertRelease(&second))
	})
	if first.Version != 1 || second.Version != 2 {
		t.Errorf("versions %d and %d, want 1 and 2", first.Version, second.Version)
	}
	equal(t, "releases", releases(), []daemon.Release{second, first})

	first = filled[daemon.Release](3)
	first.App, first.Version, first.ConfigDropped = "shop", 1, false
	update(t, s, func(tx daemon.Tx) error { return tx.UpdateRelease(first) })
	equal(t, "release", view(t, s, func(tx daemon.Tx) (daemon.Release, error) { return tx.Release("shop", 1) }), first)

	update(t, s, func(tx daemon.Tx) error {
		_, err := tx.Release("shop", 9)
		isError(t, err, daemon.ErrNotFound, `app "shop" has no release v9`)
		isError(t, tx.UpdateRelease(daemon.Release{App: "shop", Version: 9}), daemon.ErrNotFound, "v9")
		isError(t, tx.InsertRelease(&daemon.Release{App: "nope"}), daemon.ErrNotFound, `app "nope"`)
		return nil
	})

	// A version survives updates of the app's row, and is used up by a failed
	// release, but not by one that was rolled back: nobody has seen that.
	s.Update(t.Context(), func(tx daemon.Tx) error {
		return all(tx.InsertRelease(&daemon.Release{App: "shop"}), daemon.ErrNotFound)
	})
	third := daemon.Release{App: "shop", Status: daemon.ReleaseFailed}
	fourth := daemon.Release{App: "shop"}
	update(t, s, func(tx daemon.Tx) error {
		return all(tx.InsertRelease(&third), tx.UpdateApp(daemon.App{Name: "shop"}), tx.InsertRelease(&fourth))
	})
	if third.Version != 3 || fourth.Version != 4 {
		t.Errorf("versions %d and %d, want 3 and 4", third.Version, fourth.Version)
	}
}

func TestBuilds(t *testing.T) {
	s := open(t, t.TempDir())
	of := func(app string) []daemon.Build {
		return view(t, s, func(tx daemon.Tx) ([]daemon.Build, error) { return tx.Builds(app) })
	}
	first, second := filled[daemon.Build](1), filled[daemon.Build](2)
	first.App, second.App = "shop", "shop"
	update(t, s, func(tx daemon.Tx) error {
		return all(tx.InsertApp(daemon.App{Name: "shop"}), tx.InsertApp(daemon.App{Name: "blog"}), tx.InsertBuild(&first), tx.InsertBuild(&second))
	})
	if first.Number != 1 || second.Number != 2 {
		t.Errorf("numbers %d and %d, want 1 and 2", first.Number, second.Number)
	}
	equal(t, "builds", of("shop"), []daemon.Build{second, first})
	equal(t, "of the other app", of("blog"), []daemon.Build{})
	first = filled[daemon.Build](3)
	first.App, first.Number = "shop", 1
	update(t, s, func(tx daemon.Tx) error {
		isError(t, tx.UpdateBuild(daemon.Build{App: "blog", Number: 1}), daemon.ErrNotFound, `app "blog" has no build 1`)
		isError(t, tx.InsertBuild(&daemon.Build{App: "nope"}), daemon.ErrNotFound, `app "nope"`)
		return tx.UpdateBuild(first)
	})
	equal(t, "changed", of("shop"), []daemon.Build{second, first})
	update(t, s, func(tx daemon.Tx) error { // the newest are kept
		for range daemon.KeptBuilds {
			if err := tx.InsertBuild(&daemon.Build{App: "shop"}); err != nil {
				return err
			}
		}
		return nil
	})
	if list := of("shop"); len(list) != daemon.KeptBuilds || list[0].Number != daemon.KeptBuilds+2 {
		t.Errorf("%d builds, the newest %d", len(list), list[0].Number)
	}
}

func TestTestRuns(t *testing.T) {
	s := open(t, t.TempDir())
	of := func(app string) []daemon.TestRun {
		return view(t, s, func(tx daemon.Tx) ([]daemon.TestRun, error) { return tx.TestRuns(app) })
	}
	first, second := filled[daemon.TestRun](1), filled[daemon.TestRun](2)
	first.App, second.App = "shop", "shop"
	update(t, s, func(tx daemon.Tx) error {
		return all(tx.InsertApp(daemon.App{Name: "shop"}), tx.InsertApp(daemon.App{Name: "blog"}), tx.InsertTestRun(&first), tx.InsertTestRun(&second))
	})
	if first.Number != 1 || second.Number != 2 {
		t.Errorf("numbers %d and %d, want 1 and 2", first.Number, second.Number)
	}
	equal(t, "runs", of("shop"), []daemon.TestRun{second, first})
	equal(t, "of the other app", of("blog"), []daemon.TestRun{})
	first = filled[daemon.TestRun](3)
	first.App, first.Number = "shop", 1
	update(t, s, func(tx daemon.Tx) error {
		isError(t, tx.UpdateTestRun(daemon.TestRun{App: "blog", Number: 1}), daemon.ErrNotFound, `app "blog" has no test run 1`)
		isError(t, tx.InsertTestRun(&daemon.TestRun{App: "nope"}), daemon.ErrNotFound, `app "nope"`)
		return tx.UpdateTestRun(first)
	})
	equal(t, "changed", of("shop"), []daemon.TestRun{second, first})
	update(t, s, func(tx daemon.Tx) error { // the newest are kept
		for range daemon.KeptTests {
			if err := tx.InsertTestRun(&daemon.TestRun{App: "shop"}); err != nil {
				return err
			}
		}
		return nil
	})
	if list := of("shop"); len(list) != daemon.KeptTests || list[0].Number != daemon.KeptTests+2 {
		t.Errorf("%d runs, the newest %d", len(list), list[0].Number)
	}
}

func TestDomains(t *testing.T) {
	s := open(t, t.TempDir())
	www := filled[daemon.Domain](1)
	www.App, www.Host = "shop", "www.example.com"
	bare := daemon.Domain{App: "shop", Host: "example.com"}
	update(t, s, func(tx daemon.Tx) error {
		return all(tx.InsertApp(daemon.App{Name: "shop"}), tx.InsertApp(daemon.App{Name: "blog"}), tx.InsertDomain(www), tx.InsertDomain(bare))
	})
	of := func(app string) []daemon.Domain {
		return view(t, s, func(tx daemon.Tx) ([]daemon.Domain, error) { return tx.Domains(app) })
	}
	equal(t, "domains", of("shop"), []daemon.Domain{bare, www})
	update(t, s, func(tx daemon.Tx) error {
		isError(t, tx.InsertDomain(daemon.Domain{App: "blog", Host: "example.com"}), daemon.ErrExists, "example.com")
		isError(t, tx.InsertDomain(daemon.Domain{App: "nope", Host: "x.example.com"}), daemon.ErrNotFound, `app "nope"`)
		isError(t, tx.DeleteDomain("blog", "example.com"), daemon.ErrNotFound, `app "blog" has no domain "example.com"`)
		return tx.DeleteDomain("shop", "example.com")
	})
	equal(t, "domains after", of("shop"), []daemon.Domain{www})
	www.Redirect = "shop.example.com"
	update(t, s, func(tx daemon.Tx) error {
		isError(t, tx.UpdateDomain(daemon.Domain{App: "blog", Host: www.Host}), daemon.ErrNotFound, `app "blog" has no domain`)
		return tx.UpdateDomain(www)
	})
	equal(t, "redirected", of("shop"), []daemon.Domain{www})
	equal(t, "of the other app", of("blog"), []daemon.Domain{})
}

func TestRules(t *testing.T) {
	s := open(t, t.TempDir())
	set := filled[daemon.Rules](1)
	of := func(app string) daemon.Rules {
		return view(t, s, func(tx daemon.Tx) (daemon.Rules, error) { return tx.Rules(app) })
	}
	update(t, s, func(tx daemon.Tx) error {
		isError(t, tx.PutRules("nope", set), daemon.ErrNotFound, `app "nope"`)
		return all(tx.InsertApp(daemon.App{Name: "shop"}), tx.PutRules("shop", filled[daemon.Rules](2)), tx.PutRules("shop", set))
	})
	equal(t, "rules", of("shop"), set)
	equal(t, "of nobody", of("blog"), daemon.Rules{})
	// The next app of the name begins without.
	update(t, s, func(tx daemon.Tx) error { return all(tx.DeleteApp("shop"), tx.InsertApp(daemon.App{Name: "shop"})) })
	equal(t, "rules of the next", of("shop"), daemon.Rules{})
}

func TestAddons(t *testing.T) {
	s := open(t, t.TempDir())
	graph, cache := filled[daemon.Addon](1), filled[daemon.Addon](2)
	graph.App, cache.App = "shop", ""
	graph.Name, cache.Name = "graph", "cache"
	update(t, s, func(tx daemon.Tx) error {
		return all(tx.InsertApp(daemon.App{Name: "shop"}), tx.InsertApp(daemon.App{Name: "blog"}), tx.InsertAddon(graph), tx.InsertAddon(cache))
	})
	equal(t, "addons", view(t, s, daemon.Tx.Addons), []daemon.Addon{cache, graph})
	graph = filled[daemon.Addon](3)
	graph.Name, graph.App = "graph", "blog"
	update(t, s, func(tx daemon.Tx) error {
		isError(t, tx.InsertAddon(graph), daemon.ErrExists, `add-on "graph"`)
		isError(t, tx.UpdateAddon(daemon.Addon{Name: "nope"}), daemon.ErrNotFound, `add-on "nope"`)
		isError(t, tx.DeleteAddon("nope"), daemon.ErrNotFound, `add-on "nope"`)
		_, err := tx.Addon("nope")
		isError(t, err, daemon.ErrNotFound, `add-on "nope"`)
		return all(tx.UpdateAddon(graph), tx.DeleteAddon("cache"))
	})
	equal(t, "addon", view(t, s, func(tx daemon.Tx) (daemon.Addon, error) { return tx.Addon("graph") }), graph)
	equal(t, "addons after", view(t, s, daemon.Tx.Addons), []daemon.Addon{graph})
	// A later app of the owner's name owns nothing of it.
	update(t, s, func(tx daemon.Tx) error { return all(tx.DeleteApp("blog"), tx.InsertApp(daemon.App{Name: "blog"})) })
	graph.App = ""
	equal(t, "addons without owner", view(t, s, daemon.Tx.Addons), []daemon.Addon{graph})
}

func TestAttachments(t *testing.T) {
	s := open(t, t.TempDir())
	a := filled[daemon.AddonAttachment](1)
	a.Addon, a.App = "graph", "shop"
	b := daemon.AddonAttachment{Addon: "cache", App: "shop"}
	update(t, s, func(tx daemon.Tx) error {
		return all(tx.InsertApp(daemon.App{Name: "shop"}), tx.InsertAddon(daemon.Addon{Name: "graph"}), tx.InsertAddon(daemon.Addon{Name: "cache"}),
			tx.InsertAttachment(a), tx.InsertAttachment(b))
	})
	equal(t, "attachments", view(t, s, daemon.Tx.Attachments), []daemon.AddonAttachment{a, b})
	update(t, s, func(tx daemon.Tx) error {
		isError(t, tx.InsertAttachment(a), daemon.ErrExists, "attached")
		isError(t, tx.InsertAttachment(daemon.AddonAttachment{Addon: "nope", App: "shop"}), daemon.ErrNotFound, `add-on "nope"`)
		isError(t, tx.InsertAttachment(daemon.AddonAttachment{Addon: "graph", App: "nope"}), daemon.ErrNotFound, `app "nope"`)
		isError(t, tx.DeleteAttachment("graph", "nope"), daemon.ErrNotFound, `not attached to app "nope"`)
		return tx.DeleteAttachment("graph", "shop")
	})
	equal(t, "attachments after", view(t, s, daemon.Tx.Attachments), []daemon.AddonAttachment{b})
}

func TestBackups(t *testing.T) {
	s := open(t, t.TempDir())
	older, newer, other := filled[daemon.Backup](1), filled[daemon.Backup](2), filled[daemon.Backup](3)
	older.Addon, newer.Addon = "graph", "graph"
	older.App, newer.App, other.App = "shop", "shop", "blog"
	update(t, s, func(tx daemon.Tx) error {
		return all(tx.InsertApp(daemon.App{Name: "shop"}), tx.InsertApp(daemon.App{Name: "blog"}), tx.InsertBackup(newer), tx.InsertBackup(older), tx.InsertBackup(other))
	})
	of := func(addon string) []daemon.Backup {
		return view(t, s, func(tx daemon.Tx) ([]daemon.Backup, error) { return tx.Backups(addon) })
	}
	equal(t, "of one", of("graph"), []daemon.Backup{newer, older})
	equal(t, "of all", of(""), []daemon.Backup{other, newer, older})
	changed := filled[daemon.Backup](4)
	changed.ID, changed.App, changed.Detail = older.ID, "blog", nil
	update(t, s, func(tx daemon.Tx) error {
		isError(t, tx.InsertBackup(older), daemon.ErrExists, older.ID)
		isError(t, tx.UpdateBackup(daemon.Backup{ID: "nope"}), daemon.ErrNotFound, `backup "nope"`)
		isError(t, tx.DeleteBackup("nope"), daemon.ErrNotFound, `backup "nope"`)
		_, err := tx.Backup("nope")
		isError(t, err, daemon.ErrNotFound, `backup "nope"`)
		return all(tx.UpdateBackup(changed), tx.DeleteBackup(other.ID))
	})
	equal(t, "backup", view(t, s, func(tx daemon.Tx) (daemon.Backup, error) { return tx.Backup(older.ID) }), changed)
}

func TestOpenings(t *testing.T) {
	s := open(t, t.TempDir())
	graph := filled[daemon.Opening](1)
	graph.Addon = "graph"
	update(t, s, func(tx daemon.Tx) error {
		return all(tx.InsertAddon(daemon.Addon{Name: "graph"}), tx.InsertAddon(daemon.Addon{Name: "cache"}),
			tx.PutOpening(daemon.Opening{Addon: "graph"}), tx.PutOpening(graph), tx.PutOpening(daemon.Opening{Addon: "cache"}))
	})
	equal(t, "openings", view(t, s, daemon.Tx.Openings), []daemon.Opening{{Addon: "cache"}, graph})
	update(t, s, func(tx daemon.Tx) error {
		isError(t, tx.PutOpening(daemon.Opening{Addon: "nope"}), daemon.ErrNotFound, `add-on "nope"`)
		isError(t, tx.DeleteOpening("nope"), daemon.ErrNotFound, "not open")
		return all(tx.DeleteOpening("graph"), tx.DeleteAddon("cache"))
	})
	equal(t, "openings after", view(t, s, daemon.Tx.Openings), []daemon.Opening{})
}

func TestSchedules(t *testing.T) {
	s := open(t, t.TempDir())
	graph := filled[daemon.Schedule](1)
	graph.Addon = "graph"
	update(t, s, func(tx daemon.Tx) error {
		return all(tx.InsertAddon(daemon.Addon{Name: "graph"}), tx.InsertAddon(daemon.Addon{Name: "cache"}),
			tx.PutSchedule(daemon.Schedule{Addon: "graph"}), tx.PutSchedule(graph), tx.PutSchedule(daemon.Schedule{Addon: "cache"}))
	})
	equal(t, "schedules", view(t, s, daemon.Tx.Schedules), []daemon.Schedule{{Addon: "cache"}, graph})
	update(t, s, func(tx daemon.Tx) error {
		isError(t, tx.PutSchedule(daemon.Schedule{Addon: "nope"}), daemon.ErrNotFound, `add-on "nope"`)
		isError(t, tx.DeleteSchedule("nope"), daemon.ErrNotFound, `add-on "nope"`)
		return all(tx.DeleteSchedule("graph"), tx.DeleteAddon("cache"))
	})
	equal(t, "schedules after", view(t, s, daemon.Tx.Schedules), []daemon.Schedule{})
}

func TestMembers(t *testing.T) {
	s := open(t, t.TempDir())
	alice, bob := filled[daemon.Member](1), daemon.Member{Name: "bob"}
	alice.Name = "alice"
	k1, k2, k3 := filled[daemon.MemberKey](1), filled[daemon.MemberKey](2), filled[daemon.MemberKey](3)
	k1.Member, k2.Member, k3.Member = "bob", "alice", "alice"
	update(t, s, func(tx daemon.Tx) error {
		return all(tx.InsertMember(bob), tx.InsertMember(alice), tx.InsertKey(k1), tx.InsertKey(k2), tx.InsertKey(k3))
	})
	equal(t, "members", view(t, s, daemon.Tx.Members), []daemon.Member{alice, bob})
	equal(t, "keys", view(t, s, daemon.Tx.Keys), []daemon.MemberKey{k2, k3, k1})
	bob = filled[daemon.Member](2)
	bob.Name = "bob"
	update(t, s, func(tx daemon.Tx) error {
		isError(t, tx.InsertMember(alice), daemon.ErrExists, `member "alice"`)
		isError(t, tx.UpdateMember(daemon.Member{Name: "nope"}), daemon.ErrNotFound, `member "nope"`)
		isError(t, tx.DeleteMember("nope"), daemon.ErrNotFound, `member "nope"`)
		_, err := tx.Member("nope")
		isError(t, err, daemon.ErrNotFound, `member "nope"`)
		stolen := k1
		stolen.Member = "alice"
		isError(t, tx.InsertKey(stolen), daemon.ErrExists, k1.Fingerprint)
		isError(t, tx.InsertKey(daemon.MemberKey{Member: "nope", Fingerprint: "x"}), daemon.ErrNotFound, `member "nope"`)
		isError(t, tx.DeleteKey("nope"), daemon.ErrNotFound, `key "nope"`)
		return all(tx.UpdateMember(bob), tx.DeleteKey(k3.Fingerprint))
	})
	equal(t, "member", view(t, s, func(tx daemon.Tx) (daemon.Member, error) { return tx.Member("bob") }), bob)
	equal(t, "keys after", view(t, s, daemon.Tx.Keys), []daemon.MemberKey{k2, k1})
}

func TestAccess(t *testing.T) {
	s := open(t, t.TempDir())
	some := []daemon.Permission{daemon.View, daemon.Deploy}
	update(t, s, func(tx daemon.Tx) error {
		return all(tx.InsertApp(daemon.App{Name: "shop"}), tx.InsertMember(daemon.Member{Name: "bob"}), tx.InsertMember(daemon.Member{Name: "alice"}),
			tx.PutAccess(daemon.Access{App: "shop", Member: "bob", Permissions: some[:1]}),
			tx.PutAccess(daemon.Access{App: "shop", Member: "alice"}),
			tx.PutAccess(daemon.Access{App: "shop", Member: "bob", Permissions: some}))
	})
	access := func() []daemon.Access {
		return view(t, s, func(tx daemon.Tx) ([]daemon.Access, error) { return tx.Access("shop") })
	}
	equal(t, "access", access(), []daemon.Access{{App: "shop", Member: "alice"}, {App: "shop", Member: "bob", Permissions: some}})
	update(t, s, func(tx daemon.Tx) error {
		isError(t, tx.PutAccess(daemon.Access{App: "nope", Member: "bob"}), daemon.ErrNotFound, `app "nope"`)
		isError(t, tx.PutAccess(daemon.Access{App: "shop", Member: "nope"}), daemon.ErrNotFound, `member "nope"`)
		isError(t, tx.DeleteAccess("shop", "nope"), daemon.ErrNotFound, `member "nope" has no access to app "shop"`)
		return all(tx.DeleteAccess("shop", "alice"), tx.DeleteMember("bob"))
	})
	equal(t, "access after", access(), []daemon.Access{})
	equal(t, "keys after", view(t, s, daemon.Tx.Keys), []daemon.MemberKey{})
}

func TestPipelineAccess(t *testing.T) {
	s := open(t, t.TempDir())
	some := []daemon.Permission{daemon.View, daemon.Deploy}
	by := func(pipeline, member string, stage daemon.Stage, p []daemon.Permission) daemon.PipelineAccess {
		return daemon.PipelineAccess{Pipeline: pipeline, Member: member, Stage: stage, Permissions: p}
	}
	update(t, s, func(tx daemon.Tx) error {
		return all(tx.InsertMember(daemon.Member{Name: "bob"}), tx.InsertMember(daemon.Member{Name: "alice"}), tx.InsertApp(daemon.App{Name: "shop"}), tx.InsertApp(daemon.App{Name: "blog", Handle: "blog"}),
			tx.InsertPipeline(daemon.Pipeline{Name: "line", Owner: "alice"}), tx.InsertPipeline(daemon.Pipeline{Name: "other", Owner: "bob"}),
			tx.PutCoupling(daemon.Coupling{App: "shop", Pipeline: "line", Stage: daemon.StageStaging}),
			tx.PutPipelineAccess(by("line", "bob", daemon.StageStaging, some[:1])), tx.PutPipelineAccess(by("line", "bob", daemon.StageStaging, some)),
			tx.PutPipelineAccess(by("line", "bob", daemon.StageReview, some)), tx.PutPipelineAccess(by("line", "bob", "", some[:1])),
			tx.PutPipelineAccess(by("line", "alice", "", some)), tx.PutPipelineAccess(by("other", "alice", "", some)))
	})
	access := func(pipeline string) []daemon.PipelineAccess {
		return view(t, s, func(tx daemon.Tx) ([]daemon.PipelineAccess, error) { return tx.PipelineAccess(pipeline) })
	}
	reaches := func(app string) []daemon.PipelineAccess {
		return view(t, s, func(tx daemon.Tx) ([]daemon.PipelineAccess, error) { return tx.AccessByPipeline(app) })
	}
	ofAlice, whole, review, staging := by("line", "alice", "", some), by("line", "bob", "", some[:1]), by("line", "bob", daemon.StageReview, some), by("line", "bob", daemon.StageStaging, some)
	equal(t, "access", access("line"), []daemon.PipelineAccess{ofAlice, whole, review, staging})
	equal(t, "what reaches the app", reaches("shop"), []daemon.PipelineAccess{ofAlice, whole, staging})
	equal(t, "what reaches an app of none", reaches("blog"), []daemon.PipelineAccess{})
	update(t, s, func(tx daemon.Tx) error {
		isError(t, tx.PutPipelineAccess(by("nope", "bob", "", some)), daemon.ErrNotFound, `pipeline "nope"`)
		isError(t, tx.PutPipelineAccess(by("line", "nope", "", some)), daemon.ErrNotFound, `member "nope"`)
		isError(t, tx.DeletePipelineAccess("line", "bob", daemon.StageProduction), daemon.ErrNotFound, `member "bob"`)
		isError(t, tx.DeletePipelineAccess("other", "bob", ""), daemon.ErrNotFound, `member "bob"`)
		isError(t, tx.RenamePipeline("line", "other"), daemon.ErrExists, `"other"`)
		return all(tx.DeletePipelineAccess("line", "bob", ""))
	})
	update(t, s, func(tx daemon.Tx) error { return all(tx.RenamePipeline("line", "tow"), tx.RenameApp("shop", "store")) })
	ofAlice.Pipeline, staging.Pipeline, review.Pipeline = "tow", "tow", "tow"
	equal(t, "after a rename", access("tow"), []daemon.PipelineAccess{ofAlice, review, staging})
	equal(t, "what reaches it after a rename", reaches("store"), []daemon.PipelineAccess{ofAlice, staging})
	update(t, s, func(tx daemon.Tx) error { return tx.DeleteMember("alice") })
	equal(t, "without a member", access("tow"), []daemon.PipelineAccess{review, staging})
	equal(t, "owner", view(t, s, func(tx daemon.Tx) (daemon.Pipeline, error) { return tx.Pipeline("tow") }).Owner, "")
	equal(t, "another's owner", view(t, s, func(tx daemon.Tx) (daemon.Pipeline, error) { return tx.Pipeline("other") }).Owner, "bob")
	update(t, s, func(tx daemon.Tx) error {
		return all(tx.DeletePipeline("tow"), tx.InsertPipeline(daemon.Pipeline{Name: "tow"}))
	})
	equal(t, "without the pipeline", access("tow"), []daemon.PipelineAccess{})
}

func TestOperations(t *testing.T) {
	s := open(t, t.TempDir())
	a, b := filled[daemon.Operation](1), filled[daemon.Operation](2)
	a.Data = nil
	update(t, s, func(tx daemon.Tx) error { return all(tx.InsertOperation(&a), tx.InsertOperation(&b)) })
	equal(t, "operations", view(t, s, daemon.Tx.Operations), []daemon.Operation{a, b})
	next := filled[daemon.Operation](3)
	next.ID = b.ID
	c := filled[daemon.Operation](4)
	update(t, s, func(tx daemon.Tx) error {
		isError(t, tx.UpdateOperation(daemon.Operation{ID: 99}), daemon.ErrNotFound, "99")
		isError(t, tx.DeleteOperation(99), daemon.ErrNotFound, "99")
		return all(tx.UpdateOperation(next), tx.DeleteOperation(a.ID))
	})
	equal(t, "operations after", view(t, s, daemon.Tx.Operations), []daemon.Operation{next})
	update(t, s, func(tx daemon.Tx) error { return all(tx.DeleteOperation(next.ID), tx.InsertOperation(&c)) })
	if c.ID <= b.ID {
		t.Errorf("ID %d was given again after %d", c.ID, b.ID)
	}
}

// of are the newest events of an app of any time.
func of(app string, limit int) daemon.ActivityQuery {
	return daemon.ActivityQuery{Apps: []daemon.App{{Name: app}}, Limit: limit}
}

func TestActivities(t *testing.T) {
	s := open(t, t.TempDir())
	a, b, c := filled[daemon.Activity](1), filled[daemon.Activity](2), filled[daemon.Activity](3)
	a.App, b.App, c.App = "shop", "", "shop"
	a.ID, b.ID, c.ID = 1, 2, 3
	a.Kind, b.Kind, c.Kind = daemon.ConfigSet, daemon.KeyAdded, daemon.ConfigUnset
	a.Outcome, b.Outcome, c.Outcome = daemon.Done, daemon.Undone, daemon.Done
	update(t, s, func(tx daemon.Tx) error {
		return all(tx.InsertApp(daemon.App{Name: "shop"}), tx.RecordActivity(a), tx.RecordActivity(b), tx.RecordActivity(c))
	})
	check := func(what string, q daemon.ActivityQuery, want ...daemon.Activity) {
		t.Helper()
		equal(t, what, view(t, s, func(tx daemon.Tx) ([]daemon.Activity, error) { return tx.Activities(q) }), append([]daemon.Activity{}, want...))
	}
	check("of one app", of("shop", 10), c, a)
	check("of an app that was created later", daemon.ActivityQuery{Apps: []daemon.App{{Name: "shop", Created: a.Time.Add(1)}}})
	check("of very many apps", daemon.ActivityQuery{Apps: append(slices.Repeat([]daemon.App{{Name: "other"}}, 3000), daemon.App{Name: "shop"})}, c, a)
	check("of no app", daemon.ActivityQuery{Apps: []daemon.App{}})
	check("newest", daemon.ActivityQuery{Limit: 2}, c, b)
	check("all", daemon.ActivityQuery{}, c, b, a)
	check("since", daemon.ActivityQuery{Since: b.Time}, c, b)
	check("after", daemon.ActivityQuery{After: 2}, c)
	check("of a member", daemon.ActivityQuery{Member: b.Member}, b)
	check("of a kind", daemon.ActivityQuery{Kind: "config.set"}, a)
	check("of a noun", daemon.ActivityQuery{Kind: "config"}, c, a)
	check("of half a noun", daemon.ActivityQuery{Kind: "conf"})
}

// TestCallerOfActivity: an event of the caller's own has their key, where they came from and how
// long they waited; one of somebody else's has not.
func TestCallerOfActivity(t *testing.T) {
	s := open(t, t.TempDir())
	now := time.Now().UTC()
	ctx := daemon.WithCaller(t.Context(), daemon.Caller{Member: "ada", Key: "SHA256:x", Address: "192.0.2.1", Began: now.Add(-time.Second)})
	err := s.Update(ctx, func(tx daemon.Tx) error {
		return all(tx.RecordActivity(daemon.Activity{Time: now, Member: "ada"}), tx.RecordActivity(daemon.Activity{Time: now, Member: "bob"}))
	})
	if err != nil {
		t.Fatal(err)
	}
	list := view(t, s, func(tx daemon.Tx) ([]daemon.Activity, error) { return tx.Activities(daemon.ActivityQuery{}) })
	if a := list[1]; a.Key != "SHA256:x" || a.Address != "192.0.2.1" || a.Took != time.Second || a.Outcome != daemon.Done {
		t.Errorf("%+v", a)
	}
	if b := list[0]; b.Key != "" || b.Address != "" || b.Took != 0 {
		t.Errorf("%+v", b)
	}
}

// TestActivityIsBounded: old events go, and so does what is more than fits; what repeats itself
// without end is recorded now and then.
func TestActivityIsBounded(t *testing.T) {
	s := open(t, t.TempDir())
	now := time.Now().UTC()
	record := func(a daemon.Activity) {
		t.Helper()
		update(t, s, func(tx daemon.Tx) error { return tx.RecordActivity(a) })
	}
	count := func(q daemon.ActivityQuery, want int) {
		t.Helper()
		if list := view(t, s, func(tx daemon.Tx) ([]daemon.Activity, error) { return tx.Activities(q) }); len(list) != want {
			t.Errorf("%+v: %d events, want %d", q, len(list), want)
		}
	}
	record(daemon.Activity{Time: now.Add(-daemon.KeptActivityFor - time.Second), Text: "old"})
	record(daemon.Activity{Time: now.Add(-daemon.KeptActivityFor + time.Hour), Text: "not yet old"})
	count(daemon.ActivityQuery{}, 2) // it goes with the next of today
	record(daemon.Activity{Time: now})
	count(daemon.ActivityQuery{}, 2)

	refused := func(member string, at time.Time) {
		record(daemon.Activity{Time: at, Kind: daemon.AccessRefused, Member: member, Outcome: daemon.Refused})
	}
	for range 2 * daemon.MaxRefusals {
		refused("eve", now)
	}
	refused("bob", now)
	count(daemon.ActivityQuery{Member: "eve"}, daemon.MaxRefusals)
	count(daemon.ActivityQuery{Member: "bob"}, 1)
	refused("eve", now.Add(time.Hour))
	count(daemon.ActivityQuery{Member: "eve"}, daemon.MaxRefusals+1)

	read := daemon.Activity{Time: now, Kind: daemon.ConfigRead, Member: "ada", App: "shop", Names: []string{"A"}}
	record(read)
	record(read)
	other := read
	other.Names = []string{"B"}
	record(other)
	other.Key = "SHA256:y"
	record(other)
	read.Time = now.Add(daemon.ReadAgain)
	record(read)
	count(daemon.ActivityQuery{Member: "ada"}, 4)

	// Of many there are as many as are kept.
	raise := func(tx daemon.Tx) error {
		return tx.RecordActivity(daemon.Activity{Time: now, Names: make([]string, 500), Undo: strings.Repeat("x", 5000)})
	}
	update(t, s, raise)
	last := view(t, s, func(tx daemon.Tx) ([]daemon.Activity, error) { return tx.Activities(daemon.ActivityQuery{Limit: 1}) })
	if len(last[0].Names) != 100 || last[0].Undo != "" {
		t.Errorf("%d names, %d bytes to type", len(last[0].Names), len(last[0].Undo))
	}
}

// TestDeleteAppTakesItsOwn shows what goes with an app, and what stays.
func TestDeleteAppTakesItsOwn(t *testing.T) {
	s := open(t, t.TempDir())
	update(t, s, func(tx daemon.Tx) error {
		steps := []error{tx.InsertAddon(daemon.Addon{Name: "graph"}), tx.InsertMember(daemon.Member{Name: "alice"})}
		for _, app := range []string{"shop", "blog"} {
			steps = append(steps, tx.InsertApp(daemon.App{Name: app}), tx.InsertRelease(&daemon.Release{App: app}), tx.InsertBuild(&daemon.Build{App: app}), tx.InsertTestRun(&daemon.TestRun{App: app}),
				tx.InsertDomain(daemon.Domain{App: app, Host: app + ".example.com"}),
				tx.InsertAttachment(daemon.AddonAttachment{Addon: "graph", App: app}),
				tx.PutAccess(daemon.Access{App: app, Member: "alice"}),
				tx.RecordActivity(daemon.Activity{Time: time.Unix(1, 0), App: app}))
		}
		return all(append(steps, tx.DeleteApp("shop"))...)
	})
	err := s.View(t.Context(), func(tx daemon.Tx) error {
		for app, want := range map[string]int{"shop": 0, "blog": 1} {
			releases, err1 := tx.Releases(app)
			domains, err2 := tx.Domains(app)
			access, err3 := tx.Access(app)
			if runs, err := tx.TestRuns(app); err != nil || len(runs) != want {
				t.Errorf("%s: %d test runs, %v; want %d", app, len(runs), err, want)
			}
			if builds, err := tx.Builds(app); err != nil || len(builds) != want {
				t.Errorf("%s: %d builds, %v; want %d", app, len(builds), err, want)
			}
			if len(releases) != want || len(domains) != want || len(access) != want {
				t.Errorf("%s: %d releases, %d domains, %d access; want %d of each", app, len(releases), len(domains), len(access), want)
			}
			if err := all(err1, err2, err3); err != nil {
				return err
			}
		}
		attachments, err := tx.Attachments()
		if len(attachments) != 1 {
			t.Errorf("attachments: %v", attachments)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if a := view(t, s, func(tx daemon.Tx) ([]daemon.Activity, error) { return tx.Activities(of("shop", 5)) }); len(a) != 1 {
		t.Errorf("who did what is forgotten: %v", a)
	}

	// A new app of that name begins at v1, without the old one's anything.
	again := daemon.Release{App: "shop"}
	update(t, s, func(tx daemon.Tx) error {
		return all(tx.InsertApp(daemon.App{Name: "shop"}), tx.InsertRelease(&again))
	})
	if again.Version != 1 {
		t.Errorf("version %d", again.Version)
	}
}

// TestRenameApp: everything that is an app's is another name's, and opens.
func TestRenameApp(t *testing.T) {
	s := open(t, t.TempDir())
	shop := filled[daemon.App](1)
	shop.Name, shop.Handle = "shop", "shop"
	var releases []daemon.Release
	for i := range daemon.KeptConfigs + 3 {
		r := filled[daemon.Release](i + 2)
		r.App, r.ConfigDropped = "shop", false
		releases = append(releases, r)
	}
	update(t, s, func(tx daemon.Tx) error {
		steps := []error{tx.InsertMember(daemon.Member{Name: "alice"}), tx.InsertApp(shop), tx.InsertApp(daemon.App{Name: "blog"})}
		for i := range releases {
			steps = append(steps, tx.InsertRelease(&releases[i]))
		}
		return all(append(steps, tx.InsertAddon(daemon.Addon{Name: "graph", App: "shop"}), tx.InsertBackup(daemon.Backup{ID: "graph.1", Addon: "graph", App: "shop"}),
			tx.InsertDomain(daemon.Domain{App: "shop", Host: "www.example.com"}), tx.InsertAttachment(daemon.AddonAttachment{Addon: "graph", App: "shop"}),
			tx.InsertBuild(&daemon.Build{App: "shop"}), tx.InsertTestRun(&daemon.TestRun{App: "shop"}), tx.PutRules("shop", daemon.Rules{AllowFrom: []string{"10.0.0.0/8"}}), tx.PutAccess(daemon.Access{App: "shop", Member: "alice"}),
			tx.RecordActivity(daemon.Activity{Time: time.Unix(1, 0), App: "shop", Text: "created the app"}))...)
	})
	about := func(app string) (all []any) {
		_ = view(t, s, func(tx daemon.Tx) (int, error) {
			for _, read := range []func() (any, error){
				func() (any, error) { a, err := tx.App(app); a.Name = ""; return a, err },
				func() (any, error) {
					releases, err := tx.Releases(app)
					for i := range releases {
						releases[i].App = ""
					}
					return releases, err
				},
				func() (any, error) { d, err := tx.Domains(app); return len(d), err },
				func() (any, error) { b, err := tx.Builds(app); return len(b), err },
				func() (any, error) { r, err := tx.TestRuns(app); return len(r), err },
				func() (any, error) { r, err := tx.Rules(app); return r, err },
				func() (any, error) { a, err := tx.Access(app); return len(a), err },
				func() (any, error) { a, err := tx.Activities(of(app, 0)); return len(a), err },
				func() (any, error) { a, err := tx.Addon("graph"); return a.App == app, err },
				func() (any, error) { b, err := tx.Backup("graph.1"); return b.App == app, err },
				func() (any, error) { a, err := tx.Attachments(); return len(a) == 1 && a[0].App == app, err },
			} {
				v, err := read()
				if err != nil {
					return 0, err
				}
				all = append(all, v)
			}
			return 0, nil
		})
		return all
	}
	before := about("shop")
	update(t, s, func(tx daemon.Tx) error {
		isError(t, tx.RenameApp("nope", "store"), daemon.ErrNotFound, `app "nope"`)
		isError(t, tx.RenameApp("shop", "blog"), daemon.ErrExists, `app "blog"`)
		return nil
	})
	equal(t, "after what was refused", about("shop"), before)
	update(t, s, func(tx daemon.Tx) error { return tx.RenameApp("shop", "store") })
	equal(t, "after the rename", about("store"), before)

	// A new app of the old name has nothing of it.
	update(t, s, func(tx daemon.Tx) error { return tx.InsertApp(daemon.App{Name: "shop", Handle: "shop-2"}) })
	_ = view(t, s, func(tx daemon.Tx) (int, error) {
		releases, err := tx.Releases("shop")
		activities, err2 := tx.Activities(of("shop", 0))
		if len(releases)+len(activities) > 0 {
			t.Errorf("the new app has %d releases and %d activities", len(releases), len(activities))
		}
		return 0, all(err, err2)
	})
}
