package journeys

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"towline/daemon"
	"towline/daemon/command"
)

// secret is in everything that is given where a secret may be.
const secret = "hunter2hunter2"

// acts is every command that does something worth telling, as typed in the order of a day, with the
// one event of each: its kind, app, subject and names, and what takes it back. No event has a kind:
// none is recorded.
var acts = []struct {
	line    string
	stdin   string
	code    int
	kind    daemon.ActivityKind
	app     string
	subject string
	names   string
	outcome daemon.Outcome // empty: done
	undo    string
	more    daemon.ActivityKind // the event before it, of a command with two
}{
	{line: "apps:create shop", kind: daemon.AppCreated, app: "shop", undo: "apps:destroy -a shop"},
	{line: "apps:create other", kind: daemon.AppCreated, app: "other", undo: "apps:destroy -a other"},
	{line: "config:set EARLY=" + secret + " -a shop", kind: daemon.ConfigSet, app: "shop", names: "EARLY", undo: "config:unset EARLY -a shop"},
	{line: "deploy:archive -a shop", stdin: string(source("one")), kind: daemon.Deployed, app: "shop"},
	{line: "deploy:archive -a shop", stdin: string(source("two")), kind: daemon.Deployed, app: "shop", undo: "releases:rollback v3 -a shop"},
	{line: "deploy:archive -a other", stdin: string(source("one")), kind: daemon.Deployed, app: "other"},
	{line: "deploy:archive -a shop", stdin: string(archive(map[string]string{"version": "none"})), code: 2, kind: daemon.Deployed, app: "shop", outcome: daemon.Undone},
	{line: "config:set A=" + secret + " B=" + secret + " -a shop", kind: daemon.ConfigSet, app: "shop", names: "A B", undo: "config:unset A B -a shop"},
	{line: "config:set A=" + secret + " -a shop"},           // as it is
	{line: "config:set 1A=" + secret + " -a shop", code: 2}, // refused for its words
	{line: "config:set A=new" + secret + " -a shop", kind: daemon.ConfigSet, app: "shop", names: "A", undo: "releases:rollback v5 -a shop"},
	{line: "config:set C=" + secret + " --no-restart -a shop", kind: daemon.ConfigSet, app: "shop", names: "C", undo: "config:unset C -a shop"},
	{line: "config:unset B -a shop", kind: daemon.ConfigUnset, app: "shop", names: "B", undo: "releases:rollback v7 -a shop"},
	{line: "config:import -a shop", stdin: "D=" + secret, kind: daemon.ConfigSet, app: "shop", names: "D", undo: "config:unset D -a shop"},
	{line: "config -a shop", kind: daemon.ConfigRead, app: "shop", names: "A C D EARLY"},
	{line: "config:get A -a shop", kind: daemon.ConfigRead, app: "shop", names: "A"},
	{line: "config:get NONE -a shop", code: 3},
	{line: "complete config:get -a shop -"},
	{line: "complete config:unset -a shop ''"},
	{line: "releases:rollback v3 -a shop", kind: daemon.RolledBack, app: "shop", undo: "releases:rollback v9 -a shop"},
	{line: "releases:retry -a shop", kind: daemon.Retried, app: "shop", undo: "releases:rollback v10 -a shop"},
	{line: "ps:scale worker=2 -a shop", kind: daemon.ProcessScaled, app: "shop", names: "worker", undo: "ps:scale worker=0 -a shop"},
	{line: "ps:scale worker=2 -a shop"},
	{line: "ps:restart web -a shop", kind: daemon.ProcessRestart, app: "shop", subject: "web"},
	{line: "ps:capabilities:set CHOWN -a shop", kind: daemon.CapabilitiesSet, app: "shop", names: "CHOWN", undo: "ps:capabilities:set none -a shop"},
	{line: "run -a shop once " + secret, kind: daemon.RunEnded, app: "shop", more: daemon.RunBegan},
	{line: "builder:set buildpacks -a shop", kind: daemon.BuilderSet, app: "shop", undo: "builder:set auto -a shop"},
	{line: "builds:purge -a shop", kind: daemon.BuildsPurged, app: "shop"},
	{line: "apps:deploy-branch trunk -a shop", kind: daemon.BranchSet, app: "shop", subject: "trunk", undo: "apps:deploy-branch -a shop"},
	{line: "maintenance:on -a shop", kind: daemon.MaintenanceSet, app: "shop", undo: "maintenance:off -a shop"},
	{line: "maintenance:off -a shop", kind: daemon.MaintenanceSet, app: "shop", undo: "maintenance:on -a shop"},
	{line: "maintenance:page -a shop", stdin: "<p>" + secret, kind: daemon.RouterSet, app: "shop", names: "maintenance page"},
	{line: "domains:add www.example.org -a shop", kind: daemon.DomainAdded, app: "shop", subject: "www.example.org", undo: "domains:remove www.example.org -a shop"},
	{line: "domains:redirect www.example.org shop.example.test -a shop", kind: daemon.DomainRedirected, app: "shop", subject: "www.example.org", undo: "domains:redirect www.example.org -a shop"},
	{line: "domains:remove www.example.org -a shop", kind: daemon.DomainRemoved, app: "shop", subject: "www.example.org", undo: "domains:add www.example.org -a shop"},
	{line: "router:set login=ann body=1M -a shop", stdin: secret, kind: daemon.RouterSet, app: "shop", names: "login body"},
	{line: "router:unset login -a shop", kind: daemon.RouterSet, app: "shop", names: "login"},
	{line: "addons:create store --name cache -a shop", kind: daemon.AddonCreated, app: "shop", subject: "cache", names: "STORE_URL", undo: "addons:destroy cache -a shop"},
	{line: "addons:attach cache -a other", kind: daemon.AddonAttached, app: "other", subject: "cache", names: "STORE_URL", undo: "addons:detach cache -a other"},
	{line: "addons:detach cache -a other", kind: daemon.AddonDetached, app: "other", subject: "cache", names: "STORE_URL", undo: "addons:attach cache -a other"},
	{line: "addons:restart cache", kind: daemon.AddonRestarted, app: "shop", subject: "cache"},
	{line: "addons:rotate cache", kind: daemon.AddonRotated, app: "shop", subject: "cache"},
	{line: "addons:upgrade cache --version 2", kind: daemon.AddonUpgraded, app: "shop", subject: "cache"},
	{line: "addons:transfer cache -a other", kind: daemon.AddonTransferred, app: "other", subject: "cache"},
	{line: "backups:capture cache", kind: daemon.BackupCaptured, app: "other", subject: "BACKUP", undo: "backups:delete BACKUP -a other"},
	{line: "backups:verify BACKUP", kind: daemon.BackupVerified, app: "other", subject: "BACKUP"},
	{line: "backups:download BACKUP", kind: daemon.BackupDownloaded, app: "other", subject: "BACKUP"},
	{line: "backups:restore BACKUP --confirm cache", kind: daemon.BackupRestored, app: "other", subject: "cache", undo: "backups:restore BACKUP -a other"},
	{line: "backups:schedule cache 0 3 * * *", kind: daemon.BackupScheduled, app: "other", subject: "cache", undo: "backups:unschedule cache -a other"},
	{line: "backups:unschedule cache", kind: daemon.BackupUnscheduled, app: "other", subject: "cache"},
	{line: "backups:on-release on -a other", kind: daemon.BackupOnRelease, app: "other", undo: "backups:on-release off -a other"},
	{line: "config:set E=1 -a other", kind: daemon.ConfigSet, app: "other", names: "E", undo: "config:unset E -a other"}, // and no other, though a backup was taken
	{line: "backups:on-release off -a other", kind: daemon.BackupOnRelease, app: "other", undo: "backups:on-release on -a other"},
	{line: "backups:delete BACKUP --confirm BACKUP", kind: daemon.BackupDeleted, app: "other", subject: "BACKUP"},
	{line: "addons:destroy cache --confirm cache", kind: daemon.AddonDestroyed, app: "other", subject: "cache"},
	{line: "pipelines:create safetow -a shop --stage staging", kind: daemon.PipelineCreated, app: "shop", subject: "safetow", undo: "pipelines:destroy safetow -a shop"},
	{line: "pipelines:add safetow -a other --stage review", kind: daemon.PipelineAdded, app: "other", subject: "safetow", undo: "pipelines:remove -a other"},
	{line: "pipelines:update -a other --stage production", kind: daemon.PipelineMoved, app: "other", subject: "safetow", undo: "pipelines:update --stage review -a other"},
	{line: "pipelines:promote -a shop --dry-run"},
	{line: "pipelines:diff -a shop"},
	{line: "pipelines:promote -a shop", kind: daemon.Promoted, app: "other", subject: "shop", undo: "releases:rollback v5 -a other"},
	{line: "ci:run -a shop --branch topic", stdin: string(tested("exit 0")), kind: daemon.TestsRan, app: "shop", subject: "1"},
	{line: "ci:run -a shop --branch topic", stdin: string(tested("exit 3")), code: 3, kind: daemon.TestsRan, app: "shop", subject: "2", outcome: daemon.Undone},
	{line: "ci -a shop"},
	{line: "ci:config:set API=" + secret + " -a shop", kind: daemon.TestConfigSet, app: "shop", names: "API", undo: "ci:config:unset API -a shop"},
	{line: "ci:config:set CI=1 -a shop", code: 2},
	{line: "ci:config -a shop", kind: daemon.ConfigRead, app: "shop", names: "API"},
	{line: "ci:config:unset API -a shop", kind: daemon.TestConfigSet, app: "shop", names: "API"},
	{line: "ci:on -a shop", kind: daemon.TestsFirstSet, app: "shop", undo: "ci:off -a shop"},
	{line: "ci:on -a shop"},
	{line: "ci:off -a shop", kind: daemon.TestsFirstSet, app: "shop", undo: "ci:on -a shop"},
	{line: "pipelines:remove -a other", kind: daemon.PipelineRemoved, app: "other", subject: "safetow", undo: "pipelines:add safetow --stage production -a other"},
	{line: "pipelines:rename safetow tow", kind: daemon.PipelineRenamed, subject: "tow", undo: "pipelines:rename tow safetow"},
	{line: "pipelines:destroy tow --confirm tow", kind: daemon.PipelineDestroyed, subject: "tow"},
	{line: "members:add bob", stdin: "bobs-key", kind: daemon.MemberAdded, subject: "bob", names: "bobs-key", undo: "members:remove bob"},
	{line: "keys:add bob", stdin: "second-key", kind: daemon.KeyAdded, subject: "bob", names: "second-key", undo: "keys:remove second-key bob"},
	{line: "keys:remove second-key bob", kind: daemon.KeyRemoved, subject: "bob", names: "second-key"},
	{line: "access:add bob -a shop -p view", kind: daemon.AccessAdded, app: "shop", subject: "bob", names: "view", undo: "access:remove bob -a shop"},
	{line: "access:remove bob -a shop", kind: daemon.AccessRemoved, app: "shop", subject: "bob", undo: "access:add bob -p view -a shop"},
	{line: "access:update bob -a shop -p deploy", code: 3},
	{line: "pipelines:create line", kind: daemon.PipelineCreated, subject: "line", undo: "pipelines:destroy line"},
	{line: "access:add bob --pipeline line --stage staging -p deploy", kind: daemon.PipelineGranted, subject: "line", names: "bob view deploy", undo: "access:remove bob --pipeline line --stage staging"},
	{line: "pipelines:add line -a shop --stage staging", kind: daemon.AccessAdded, app: "shop", subject: "bob", names: "view deploy", more: daemon.PipelineAdded},
	{line: "access:add bob --pipeline line -p view", kind: daemon.PipelineGranted, subject: "line", names: "bob view", undo: "access:remove bob --pipeline line"}, // nothing that he may not
	{line: "access:update bob --pipeline line --stage staging -p view", kind: daemon.AccessRemoved, app: "shop", subject: "bob", names: "deploy", more: daemon.PipelineGranted},
	{line: "access:remove bob --pipeline line --stage staging", kind: daemon.PipelineRevoked, subject: "line", names: "bob", undo: "access:add bob --pipeline line --stage staging -p view"},
	{line: "access:remove bob --pipeline line --stage staging", code: 3},
	{line: "pipelines:remove -a shop", kind: daemon.AccessRemoved, app: "shop", subject: "bob", names: "view", more: daemon.PipelineRemoved},
	{line: "members:remove bob --confirm bob", kind: daemon.MemberRemoved, subject: "bob"},
	{line: "apps:rename store -a shop", kind: daemon.AppRenamed, app: "store", subject: "shop", undo: "apps:rename shop -a store"},
	{line: "apps:destroy -a store --confirm store", kind: daemon.AppDestroyed, app: "store"},
}

// told are the kinds that need what a world in memory does not have.
var told = map[daemon.ActivityKind]string{
	daemon.BuildStopped: "a push that is under way", daemon.TestsCancelled: "a run that is under way", daemon.PageOpened: "a page", daemon.PageClosed: "a page", daemon.AddonConnected: "a port that answers",
	daemon.ConsoleBegan: "a console", daemon.ConsoleEnded: "a console", daemon.CertificateAdded: "the proxy", daemon.CertificateRemoved: "the proxy",
	daemon.PluginInstalled: "a folder of plugins", daemon.PluginRemoved: "a folder of plugins", daemon.HostBackedUp: "a machine",
	daemon.AccessRefused: "somebody else: see package command",
}

// asked is the verb table of a daemon, asked by an administrator.
type asked struct {
	*command.Table
	l *life
}

const adminsKey = "SHA256:ada"

func (w *world) asked(l *life) asked {
	w.t.Helper()
	w.must(l.state.Update(w.t.Context(), func(tx daemon.Tx) error {
		if err := tx.InsertMember(daemon.Member{Name: "ada", Admin: true}); err != nil {
			return err
		}
		return tx.InsertKey(daemon.MemberKey{Member: "ada", Key: adminsKey, Fingerprint: adminsKey})
	}))
	return asked{command.New(command.Rooms{AppRoom: l.AppRoom, AddonRoom: l.AddonRoom, BackupRoom: l.BackupRoom, People: l.People, Activity: l.Activity, Suite: l.Suite, Pipelines: l.Pipelines, Tests: l.Tests}, command.HostParts{}), l}
}

func (a asked) run(t *testing.T, line, stdin string) (int, string) {
	var out bytes.Buffer
	words := strings.Fields(line)
	for i, word := range words {
		words[i] = strings.Trim(word, "'")
	}
	code := a.Run(t.Context(), command.Request{Member: "ada", Key: adminsKey, Address: "192.0.2.7", Args: words, Stdin: strings.NewReader(stdin), Stdout: io.Discard, Stderr: &out})
	return code, out.String()
}

// events are all since an ID, oldest first.
func (l *life) events(t *testing.T, after int64) []daemon.Activity {
	t.Helper()
	list, err := daemon.Read(t.Context(), l.state, func(tx daemon.Tx) ([]daemon.Activity, error) {
		return tx.Activities(daemon.ActivityQuery{After: after})
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(list)
	return list
}

func TestActivityOfEveryCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.start()
		table := w.asked(l)
		seen := map[daemon.ActivityKind]bool{}
		var last int64
		backup := ""
		for _, act := range acts {
			named := func(s string) string { return strings.ReplaceAll(s, "BACKUP", backup) }
			began := time.Now()
			code, said := table.run(t, named(act.line), act.stdin)
			if code != act.code {
				t.Fatalf("%s: exit code %d: %s", act.line, code, said)
			}
			w.settle()
			list := l.events(t, last)
			for _, a := range list {
				last, seen[a.Kind] = a.ID, true
				text, err := json.Marshal(a)
				if err != nil || strings.Contains(string(text), secret) || strings.Contains(string(text), "store://") {
					t.Errorf("%s: the event holds a secret: %s, %v", act.line, text, err)
				}
				if a.Member != "ada" || a.Key != adminsKey || a.Address != "192.0.2.7" || a.Time.Before(began.Add(-time.Second)) || a.Took < 0 || a.Text == "" {
					t.Errorf("%s: %+v", act.line, a)
				}
			}
			if act.more != "" && len(list) == 2 && list[0].Kind == act.more {
				list = list[1:]
			}
			if act.kind == "" {
				if len(list) != 0 {
					t.Errorf("%s: %+v", act.line, list)
				}
				continue
			}
			if len(list) != 1 {
				t.Errorf("%s: %d events: %+v", act.line, len(list), list)
				continue
			}
			a := list[0]
			if a.Kind == daemon.BackupCaptured {
				backup = a.Subject
			}
			undo := strings.TrimPrefix(a.UndoCommand(), "towline ")
			if code, said := table.run(t, undo+" --help", ""); undo != "" && code != 0 {
				t.Errorf("%s: what undoes it can't be typed: %s: %s", act.line, undo, said)
			}
			if a.Kind == daemon.BackupRestored { // of the data of before, whose name is new
				undo = strings.ReplaceAll(undo, strings.Fields(undo)[1], backup)
			}
			outcome := act.outcome
			if outcome == "" {
				outcome = daemon.Done
			}
			if a.Kind != act.kind || a.App != act.app || a.Subject != named(act.subject) || strings.Join(a.Names, " ") != act.names || a.Outcome != outcome || undo != named(act.undo) {
				t.Errorf("%s: %+v\nundo: %s", act.line, a, undo)
			}
		}
		for _, k := range daemon.ActivityKinds {
			if !seen[k.Kind] && told[k.Kind] == "" {
				t.Errorf("no command has told of %s", k.Kind)
			}
		}
	})
}

// tellsOf is the event of each kind of operation that the crash table has.
var tellsOf = map[string]daemon.ActivityKind{
	"deploy": daemon.Deployed, "release": daemon.ConfigSet, "roll": daemon.ProcessScaled, "run": daemon.RunEnded, "destroy": daemon.AppDestroyed,
	"provision": daemon.AddonCreated, "deprovision": daemon.AddonDestroyed, "attach": daemon.AddonAttached, "detach": daemon.AddonDetached,
	"restart": daemon.AddonRestarted, "promote": daemon.Promoted, "rotate": daemon.AddonRotated, "upgrade": daemon.AddonUpgraded, "backup": daemon.BackupCaptured,
	"backup-delete": daemon.BackupDeleted, "restore": daemon.BackupRestored, "rollback": daemon.RolledBack, "test": daemon.TestsRan,
	"postdeploy": "", "conform": "", // part of others, and a check
}

// crashCaller is who does what a daemon dies of.
var crashCaller = daemon.Caller{Key: "SHA256:ada", Address: "192.0.2.7", Began: time.Unix(1, 0)}

// tellsOnce fails the test unless there is one event of what a daemon died of, once the next one is
// through, and it says what came of it: done where the new is there, failed where the old is. The
// transaction that makes it so has written it, and so no kill comes in between.
func (l *life) tellsOnce(t *testing.T, after int64, operation, is string) {
	t.Helper()
	kind, known := tellsOf[operation]
	if !known {
		t.Errorf("which event does the operation %s have? Add it to tellsOf", operation)
	}
	var told []daemon.Activity
	for _, a := range l.events(t, after) {
		if a.Kind == kind && kind != "" {
			told = append(told, a)
		}
	}
	want := daemon.Done
	if is == isOld && operation != "restart" || operation == "run" { // a restart is done by any start; who ran it is gone
		want = daemon.Undone
	}
	switch {
	case kind == "":
	case len(told) != 1:
		t.Errorf("%d events %s: %+v", len(told), kind, told)
	case told[0].Outcome != want || told[0].Key != crashCaller.Key || told[0].Address != crashCaller.Address:
		t.Errorf("want %s: %+v", want, told[0])
	}
}

// lastEvent is the newest event's ID.
func (l *life) lastEvent(t *testing.T) (id int64) {
	t.Helper()
	for _, a := range l.events(t, 0) {
		id = a.ID
	}
	return id
}
