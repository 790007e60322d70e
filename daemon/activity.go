package daemon

import (
	"context"
	"time"
)

// Activity is an event: who did what, and what came of it. It is written in the transaction of the
// change itself, and never changed. It has names, and never values: those of config vars may be
// secrets.
type Activity struct {
	ID      int64         `json:"id"`
	Time    time.Time     `json:"time"` // when it ended
	Kind    ActivityKind  `json:"kind"` // empty: from before there were any
	Member  string        `json:"member"`
	Key     string        `json:"key,omitempty"`     // fingerprint of the one by which the member had connected
	Address string        `json:"address,omitempty"` // where the connection came from
	App     string        `json:"app,omitempty"`     // whose viewers see it; empty: administrators alone do
	Subject string        `json:"subject,omitempty"` // what it was done to, if not the app: an add-on, a backup, a domain
	Release int           `json:"release,omitempty"`
	Outcome Outcome       `json:"outcome"`
	Code    int           `json:"code,omitempty"` // exit code of a program that was run
	Took    time.Duration `json:"took"`           // with what the caller waited for
	Names   []string      `json:"names,omitempty"`
	Text    string        `json:"text"`
	// Undo are the words of the command that takes it back, without the app; empty: there is none.
	Undo string `json:"undo,omitempty"`
}

// UndoCommand is the whole of what to type; empty: nothing takes it back.
func (a Activity) UndoCommand() string {
	switch {
	case a.Undo == "":
		return ""
	case a.App == "":
		return "towline " + a.Undo
	}
	return "towline " + a.Undo + " -a " + a.App
}

// Outcome is what came of what somebody did.
type Outcome string

// What failed was undone, and has changed nothing. What is refused was not begun.
const (
	Done    Outcome = "done"
	Undone  Outcome = "failed"
	Refused Outcome = "refused"
)

// How long activity is kept, and how much of it: older events make room.
const (
	KeptActivityFor = 400 * 24 * time.Hour
	KeptActivity    = 100_000
)

// What may repeat itself without end is bounded: of the same read by the same key one in
// ReadAgain is recorded, and of each member's refused attempts MaxRefusals in an hour.
const (
	ReadAgain   = 10 * time.Minute
	MaxRefusals = 20
)

// ActivityKind is what was done: a noun, a dot and a verb.
type ActivityKind string

// The kinds of activity.
const (
	AppCreated      ActivityKind = "app.create"
	AppDestroyed    ActivityKind = "app.destroy"
	AppRenamed      ActivityKind = "app.rename"
	BranchSet       ActivityKind = "app.deploy-branch"
	BuilderSet      ActivityKind = "app.builder"
	CapabilitiesSet ActivityKind = "app.capabilities"

	Deployed       ActivityKind = "release.deploy"
	RolledBack     ActivityKind = "release.rollback"
	Retried        ActivityKind = "release.retry"
	Promoted       ActivityKind = "release.promote"
	BuildStopped   ActivityKind = "build.cancel"
	BuildsPurged   ActivityKind = "build.purge"
	ConfigSet      ActivityKind = "config.set"
	ConfigUnset    ActivityKind = "config.unset"
	ConfigRead     ActivityKind = "config.read"
	ProcessScaled  ActivityKind = "process.scale"
	ProcessRestart ActivityKind = "process.restart"
	RunBegan       ActivityKind = "run.begin"
	RunEnded       ActivityKind = "run.end"

	DomainAdded        ActivityKind = "domain.add"
	DomainRemoved      ActivityKind = "domain.remove"
	DomainRedirected   ActivityKind = "domain.redirect"
	CertificateAdded   ActivityKind = "certificate.add"
	CertificateRemoved ActivityKind = "certificate.remove"
	RouterSet          ActivityKind = "router.set"
	MaintenanceSet     ActivityKind = "router.maintenance"

	AddonCreated     ActivityKind = "addon.create"
	AddonDestroyed   ActivityKind = "addon.destroy"
	AddonAttached    ActivityKind = "addon.attach"
	AddonDetached    ActivityKind = "addon.detach"
	AddonTransferred ActivityKind = "addon.transfer"
	AddonRestarted   ActivityKind = "addon.restart"
	AddonRotated     ActivityKind = "addon.rotate"
	AddonUpgraded    ActivityKind = "addon.upgrade"
	PageOpened       ActivityKind = "addon.open"
	PageClosed       ActivityKind = "addon.close"
	AddonConnected   ActivityKind = "addon.connect"
	ConsoleBegan     ActivityKind = "console.begin"
	ConsoleEnded     ActivityKind = "console.end"

	BackupCaptured    ActivityKind = "backup.capture"
	BackupRestored    ActivityKind = "backup.restore"
	BackupDownloaded  ActivityKind = "backup.download"
	BackupVerified    ActivityKind = "backup.verify"
	BackupDeleted     ActivityKind = "backup.delete"
	BackupScheduled   ActivityKind = "backup.schedule"
	BackupUnscheduled ActivityKind = "backup.unschedule"
	BackupOnRelease   ActivityKind = "backup.on-release"

	MemberAdded   ActivityKind = "member.add"
	MemberRemoved ActivityKind = "member.remove"
	KeyAdded      ActivityKind = "key.add"
	KeyRemoved    ActivityKind = "key.remove"
	AccessAdded   ActivityKind = "access.add"
	AccessRemoved ActivityKind = "access.remove"
	AccessRefused ActivityKind = "access.refuse"

	PipelineCreated   ActivityKind = "pipeline.create"
	PipelineRenamed   ActivityKind = "pipeline.rename"
	PipelineDestroyed ActivityKind = "pipeline.destroy"
	PipelineAdded     ActivityKind = "pipeline.add"
	PipelineMoved     ActivityKind = "pipeline.update"
	PipelineRemoved   ActivityKind = "pipeline.remove"
	PipelineGranted   ActivityKind = "pipeline.grant"
	PipelineRevoked   ActivityKind = "pipeline.revoke"

	TestsRan       ActivityKind = "ci.run"
	TestsCancelled ActivityKind = "ci.cancel"
	TestsFirstSet  ActivityKind = "ci.on"
	TestConfigSet  ActivityKind = "ci.config"

	HostBackedUp    ActivityKind = "host.backup"
	PluginInstalled ActivityKind = "plugin.install"
	PluginRemoved   ActivityKind = "plugin.remove"
)

// ActivityKinds are all of them, with what each says.
var ActivityKinds = []struct {
	Kind ActivityKind
	Text string
}{
	{AppCreated, "an app was created"}, {AppDestroyed, "an app was destroyed"}, {AppRenamed, "an app got another name"},
	{BranchSet, "the branch that deploys was chosen"}, {BuilderSet, "the builder was chosen"}, {CapabilitiesSet, "an administrator gave the processes capabilities"},
	{Deployed, "a push or an archive was deployed"}, {RolledBack, "an earlier release came back, with the data or without"}, {Retried, "a release was deployed once more"},
	{Promoted, "another app's build was released; the app that it came from"}, {BuildStopped, "a build was cancelled"}, {BuildsPurged, "what earlier builds left for the next was removed"},
	{ConfigSet, "config vars were set; their names"}, {ConfigUnset, "config vars were removed; their names"}, {ConfigRead, "config vars were shown; their names"},
	{ProcessScaled, "the formation changed"}, {ProcessRestart, "processes were replaced by fresh ones"},
	{RunBegan, "a one-off was started; the program, without its arguments"}, {RunEnded, "a one-off ended; its exit code"},
	{DomainAdded, "a host name was added"}, {DomainRemoved, "a host name was removed"}, {DomainRedirected, "a host name was redirected, or no longer"},
	{CertificateAdded, "a certificate of somebody's own was added"}, {CertificateRemoved, "a certificate of somebody's own was removed"},
	{RouterSet, "settings of the route changed; their names"}, {MaintenanceSet, "maintenance mode was switched"},
	{AddonCreated, "an add-on was created"}, {AddonDestroyed, "an add-on was destroyed"}, {AddonAttached, "an add-on was attached, or got other names for its config vars"},
	{AddonDetached, "an add-on was detached"}, {AddonTransferred, "an app took an add-on over"}, {AddonRestarted, "an add-on was restarted"},
	{AddonRotated, "an add-on got new credentials"}, {AddonUpgraded, "an add-on got another version or plan"},
	{PageOpened, "an add-on's web page was opened; its password was shown"}, {PageClosed, "an add-on's web page was closed"}, {AddonConnected, "a port of an add-on was connected to"},
	{ConsoleBegan, "an add-on's console was opened"}, {ConsoleEnded, "an add-on's console ended; its exit code"},
	{BackupCaptured, "a member took a backup"}, {BackupRestored, "a backup or a dump was restored"}, {BackupDownloaded, "a backup's dump was downloaded"},
	{BackupVerified, "a backup was proven again"}, {BackupDeleted, "a backup was deleted"}, {BackupScheduled, "backups were scheduled"},
	{BackupUnscheduled, "scheduled backups ended"}, {BackupOnRelease, "backups before releases were switched on or off"},
	{MemberAdded, "a member was added, or became an administrator, with a key"}, {MemberRemoved, "a member was removed"}, {KeyAdded, "a key was added"}, {KeyRemoved, "a key was removed"},
	{AccessAdded, "a member got permissions on an app, for itself or by its pipeline; the permissions"}, {AccessRemoved, "a member's access to an app was taken, or permissions that its pipeline gave; these"},
	{AccessRefused, "a member tried what they may not do; the command"},
	{PipelineCreated, "a pipeline was created"}, {PipelineRenamed, "a pipeline got another name"}, {PipelineDestroyed, "a pipeline was destroyed"},
	{PipelineAdded, "an app was put into a pipeline"}, {PipelineMoved, "an app moved to another stage"}, {PipelineRemoved, "an app was taken out of its pipeline"},
	{PipelineGranted, "a member got permissions on the apps of a pipeline; the member and the permissions"}, {PipelineRevoked, "a member's access by a pipeline was taken; the member"},
	{TestsRan, "tests ran; the number of the run, and its exit code"}, {TestsCancelled, "a test run was cancelled; its number"},
	{TestsFirstSet, "tests before deploys were switched on or off"}, {TestConfigSet, "config vars of tests were set or removed; their names"},
	{HostBackedUp, "the whole machine was backed up"}, {PluginInstalled, "a plugin was installed"}, {PluginRemoved, "a plugin was removed"},
}

// ActivityQuery chooses events. The zero value is all of them.
type ActivityQuery struct {
	// Apps are those whose events are meant, each as its name and the time of its creation tell it: an
	// earlier app of the name was another. Nil: all, with what is of no app.
	Apps   []App
	Member string // or operator, who has no name
	Kind   string // or the noun of several: "config"
	Since  time.Time
	After  int64 // an ID
	Limit  int   // the newest so many; 0: all
}

// Caller is who does something, as the activity tells it.
type Caller struct {
	Member  string
	Key     string
	Address string
	Began   time.Time // when they asked
}

type callerKey struct{}

// WithCaller says on whose behalf something is done: an activity that names the same member has
// their key and address too.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf is who was given to WithCaller; nobody: the zero value.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
