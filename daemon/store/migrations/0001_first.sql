-- Times are nanoseconds since 1970, 0 for none. Lists and maps are JSON.
-- Columns named sealed_* hold what seal.go makes.

CREATE TABLE meta (
	name  TEXT PRIMARY KEY,
	value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE apps (
	name          TEXT PRIMARY KEY,
	created       INTEGER NOT NULL,
	owner         TEXT NOT NULL,
	sealed_config BLOB NOT NULL,
	formation     TEXT NOT NULL,
	current       INTEGER NOT NULL,
	maintenance   INTEGER NOT NULL,
	deploy_branch TEXT NOT NULL,
	last_version  INTEGER NOT NULL DEFAULT 0 -- of its releases, ever
);

CREATE TABLE releases (
	app           TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
	version       INTEGER NOT NULL,
	status        TEXT NOT NULL,
	description   TEXT NOT NULL,
	member        TEXT NOT NULL,
	created       INTEGER NOT NULL,
	commit_id     TEXT NOT NULL,
	image         TEXT NOT NULL,
	kind          TEXT NOT NULL,
	processes     TEXT NOT NULL,
	health        TEXT NOT NULL,
	sealed_config BLOB NOT NULL,
	output        TEXT NOT NULL,
	error         TEXT NOT NULL,
	PRIMARY KEY (app, version)
);

CREATE TABLE domains (
	host    TEXT PRIMARY KEY,
	app     TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
	created INTEGER NOT NULL
);
CREATE INDEX domains_app ON domains (app);

CREATE TABLE addons (
	name           TEXT PRIMARY KEY,
	service        TEXT NOT NULL,
	plan           TEXT NOT NULL,
	version        TEXT NOT NULL,
	generation     INTEGER NOT NULL,
	status         TEXT NOT NULL,
	created        INTEGER NOT NULL,
	sealed_secrets BLOB NOT NULL
);

CREATE TABLE attachments (
	id     INTEGER PRIMARY KEY,
	addon  TEXT NOT NULL REFERENCES addons (name) ON DELETE CASCADE,
	app    TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
	prefix TEXT NOT NULL,
	vars   TEXT NOT NULL,
	UNIQUE (addon, app)
);
CREATE INDEX attachments_app ON attachments (app);

-- Backups outlive their add-on.
CREATE TABLE backups (
	id       TEXT PRIMARY KEY,
	addon    TEXT NOT NULL,
	service  TEXT NOT NULL,
	version  TEXT NOT NULL,
	status   TEXT NOT NULL,
	reason   TEXT NOT NULL,
	created  INTEGER NOT NULL,
	finished INTEGER NOT NULL,
	size     INTEGER NOT NULL,
	stall    INTEGER NOT NULL,
	proven   INTEGER NOT NULL,
	facts    TEXT NOT NULL,
	error    TEXT NOT NULL,
	detail   TEXT NOT NULL
);
CREATE INDEX backups_addon ON backups (addon);

CREATE TABLE schedules (
	addon TEXT PRIMARY KEY REFERENCES addons (name) ON DELETE CASCADE,
	cron  TEXT NOT NULL,
	zone  TEXT NOT NULL,
	keep  TEXT NOT NULL,
	last  INTEGER NOT NULL
);

CREATE TABLE members (
	name    TEXT PRIMARY KEY,
	admin   INTEGER NOT NULL,
	created INTEGER NOT NULL
);

CREATE TABLE keys (
	fingerprint TEXT PRIMARY KEY,
	member      TEXT NOT NULL REFERENCES members (name) ON DELETE CASCADE,
	key         TEXT NOT NULL,
	created     INTEGER NOT NULL
);
CREATE INDEX keys_member ON keys (member);

CREATE TABLE access (
	app         TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
	member      TEXT NOT NULL REFERENCES members (name) ON DELETE CASCADE,
	permissions TEXT NOT NULL,
	PRIMARY KEY (app, member)
) WITHOUT ROWID;
CREATE INDEX access_member ON access (member);

CREATE TABLE operations (
	id          INTEGER PRIMARY KEY AUTOINCREMENT,
	kind        TEXT NOT NULL,
	subject     TEXT NOT NULL,
	step        TEXT NOT NULL,
	member      TEXT NOT NULL,
	started     INTEGER NOT NULL,
	sealed_data BLOB NOT NULL
);

CREATE TABLE activities (
	id     INTEGER PRIMARY KEY AUTOINCREMENT,
	time   INTEGER NOT NULL,
	member TEXT NOT NULL,
	app    TEXT NOT NULL,
	text   TEXT NOT NULL
);
CREATE INDEX activities_app ON activities (app);
