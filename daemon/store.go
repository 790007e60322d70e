package daemon

import (
	"context"
	"slices"
	"time"
)

// Store keeps the state. The adapter is daemon/store. Update runs f in one
// transaction: on error nothing of it is kept, and on success it is on disk.
type Store interface {
	View(ctx context.Context, f func(Tx) error) error
	Update(ctx context.Context, f func(Tx) error) error
	Close() error
}

// Tx reads and writes state. Absent is ErrNotFound; a name taken is ErrExists.
// Config vars and credentials are sealed before they reach the disk. Who needs one noun of it
// takes that.
type Tx interface {
	AppTx
	ReleaseTx
	BuildTx
	RouteTx
	AddonTx
	BackupTx
	MemberTx
	OperationTx
	ActivityTx
	PipelineTx
	TestTx
}

// AppTx has the apps.
type AppTx interface {
	Apps() ([]App, error)
	App(name string) (App, error)
	InsertApp(App) error
	UpdateApp(App) error
	// RenameApp gives an app another name, with everything that refers to it. Operations
	// that refer to it are not looked at.
	RenameApp(name, to string) error
	DeleteApp(name string) error // with its releases, domains, access and attachments
}

// ReleaseTx has the releases of apps.
type ReleaseTx interface {
	Releases(app string) ([]Release, error) // newest first
	Release(app string, version int) (Release, error)
	// InsertRelease gives the release the app's next version, and drops the config vars of
	// all but the newest KeptConfigs releases and the current one.
	InsertRelease(*Release) error
	UpdateRelease(Release) error
}

// BuildTx has the builds of apps.
type BuildTx interface {
	Builds(app string) ([]Build, error) // newest first
	// InsertBuild gives the build the app's next number, and forgets all but the newest KeptBuilds.
	InsertBuild(*Build) error
	UpdateBuild(Build) error
}

// RouteTx has what apps' routes are made of.
type RouteTx interface {
	Domains(app string) ([]Domain, error)
	InsertDomain(Domain) error
	UpdateDomain(Domain) error
	DeleteDomain(app, host string) error

	Rules(app string) (Rules, error) // none set: the zero value
	PutRules(app string, r Rules) error
}

// AddonTx has the add-ons, and what leads to them.
type AddonTx interface {
	Addons() ([]Addon, error)
	Addon(name string) (Addon, error)
	InsertAddon(Addon) error
	UpdateAddon(Addon) error
	DeleteAddon(name string) error // with its attachments

	Attachments() ([]AddonAttachment, error)
	InsertAttachment(AddonAttachment) error
	DeleteAttachment(addon, app string) error

	Openings() ([]Opening, error)
	PutOpening(Opening) error // one for each add-on
	DeleteOpening(addon string) error
}

// BackupTx has the backups, and when they are taken.
type BackupTx interface {
	Backups(addon string) ([]Backup, error) // newest first; addon "" for all
	Backup(id string) (Backup, error)
	InsertBackup(Backup) error
	UpdateBackup(Backup) error
	DeleteBackup(id string) error

	Schedules() ([]Schedule, error)
	PutSchedule(Schedule) error // one for each add-on
	DeleteSchedule(addon string) error
}

// MemberTx has the members, and what they may do.
type MemberTx interface {
	Members() ([]Member, error)
	Member(name string) (Member, error)
	InsertMember(Member) error
	UpdateMember(Member) error
	DeleteMember(name string) error // with keys and access; the member's pipelines are nobody's then

	Keys() ([]MemberKey, error)
	Key(fingerprint string) (MemberKey, error)
	InsertKey(MemberKey) error
	DeleteKey(fingerprint string) error

	Access(app string) ([]Access, error)
	PutAccess(Access) error
	DeleteAccess(app, member string) error
}

// OperationTx has what is under way.
type OperationTx interface {
	Operations() ([]Operation, error) // oldest first
	InsertOperation(*Operation) error // sets ID
	UpdateOperation(Operation) error
	DeleteOperation(id int64) error
}

// ActivityTx has who did what.
type ActivityTx interface {
	// RecordActivity adds an event, with the key and the address of the caller if it is theirs. One
	// of no outcome is done. What repeats itself is left out: see ReadAgain and MaxRefusals.
	RecordActivity(Activity) error
	Activities(ActivityQuery) ([]Activity, error) // newest first
}

// FindApp looks an app up, and says more than that it is absent.
func FindApp(tx AppTx, name string) (App, error) {
	app, err := tx.App(name)
	if IsKind(err, NotFound) {
		return app, Errorf(NotFound, "there is no app %q", Clip(name)).WithHint("towline apps lists them; towline apps:create NAME makes one")
	}
	return app, err
}

// BackupsOf lists the backups of an add-on that belong to its owner, newest first. Those of an
// earlier add-on of the same name may be somebody else's.
func BackupsOf(tx Tx, addon string) ([]Backup, error) {
	a, err := tx.Addon(addon)
	if err != nil {
		return nil, err
	}
	all, err := tx.Backups(addon)
	return slices.DeleteFunc(all, func(b Backup) bool { return b.App != a.App }), err
}

// Read runs one query in a transaction of its own.
func Read[T any](ctx context.Context, s Store, f func(Tx) (T, error)) (T, error) {
	var v T
	err := s.View(ctx, func(tx Tx) (err error) {
		v, err = f(tx)
		return err
	})
	return v, err
}

// Now is the present time as the store keeps it.
func Now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
