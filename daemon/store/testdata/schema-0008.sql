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
, release_backups INTEGER NOT NULL DEFAULT 0, handle TEXT NOT NULL DEFAULT '', builder TEXT NOT NULL DEFAULT '{}');
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
, redirect TEXT NOT NULL DEFAULT '');
CREATE TABLE addons (
	name           TEXT PRIMARY KEY,
	service        TEXT NOT NULL,
	plan           TEXT NOT NULL,
	version        TEXT NOT NULL,
	generation     INTEGER NOT NULL,
	status         TEXT NOT NULL,
	created        INTEGER NOT NULL,
	sealed_secrets BLOB NOT NULL
, app TEXT REFERENCES apps (name) ON DELETE SET NULL);
CREATE TABLE attachments (
	id     INTEGER PRIMARY KEY,
	addon  TEXT NOT NULL REFERENCES addons (name) ON DELETE CASCADE,
	app    TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
	prefix TEXT NOT NULL,
	vars   TEXT NOT NULL,
	UNIQUE (addon, app)
);
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
, sealed_secrets BLOB NOT NULL DEFAULT x'', app TEXT REFERENCES apps (name) ON DELETE SET NULL);
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
CREATE TABLE access (
	app         TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
	member      TEXT NOT NULL REFERENCES members (name) ON DELETE CASCADE,
	permissions TEXT NOT NULL,
	PRIMARY KEY (app, member)
) WITHOUT ROWID;
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
CREATE TABLE openings (
	addon   TEXT PRIMARY KEY REFERENCES addons (name) ON DELETE CASCADE,
	member  TEXT NOT NULL,
	hash    TEXT NOT NULL,
	expires INTEGER NOT NULL
);
CREATE TABLE rules (
	app   TEXT PRIMARY KEY REFERENCES apps (name) ON DELETE CASCADE,
	rules TEXT NOT NULL
);
INSERT INTO meta (name, value) VALUES ('key-check', X'01A55C1E7A0544CEB2BB6377BC3D108664C7876E5279ECF8037B991B1EA7756E777C5FD7DD710B6431');
INSERT INTO apps (name, created, owner, sealed_config, formation, current, maintenance, deploy_branch, last_version, release_backups, handle, builder) VALUES ('shop', 0, 'ada', X'012EC606533891D8B875ACAA63D6B7A33D75E40682A7B580419F6A610D2D7EE61435C50C357F8234E979E95756659F054A8C93F07ED2F366BF4076BA80', '{"web":2}', 0, 0, '', 1, 0, 'shop', '{}');
INSERT INTO releases (app, version, status, description, member, created, commit_id, image, kind, processes, health, sealed_config, output, error) VALUES ('shop', 1, '', '', '', 0, '', '', '', 'null', '{}', X'01ADC4A2228916F83F22F19040E04E244E698D7A4BC60726A8592E930E00536EB0D60AA848447FD815A322B25CAD88BAE8AB78CAFA6841256839CB904F', '', '');
INSERT INTO addons (name, service, plan, version, generation, status, created, sealed_secrets, app) VALUES ('redis-shop', 'redis', '', '', 0, '', 0, X'01071E12816D88F175F9C387C090604D450A3E45616EFF4DC83E691874075CE94C74AA72A83000AA63C9B667F9335FF0CF5901306EC684EE010117345386', 'shop');
INSERT INTO attachments (id, addon, app, prefix, vars) VALUES (1, 'redis-shop', 'shop', '', '["REDISCLOUD_URL"]');
INSERT INTO backups (id, addon, service, version, status, reason, created, finished, size, stall, proven, facts, error, detail, sealed_secrets, app) VALUES ('redis-shop.1', 'redis-shop', 'redis', '', '', '', 0, 0, 0, 0, 0, '', '', '', X'', 'shop');
INSERT INTO members (name, admin, created) VALUES ('ada', 1, 0);
INSERT INTO keys (fingerprint, member, key, created) VALUES ('SHA256:x', 'ada', 'ssh-ed25519 AAAA ada', 0);
CREATE INDEX domains_app ON domains (app);
CREATE INDEX attachments_app ON attachments (app);
CREATE INDEX backups_addon ON backups (addon);
CREATE INDEX keys_member ON keys (member);
CREATE INDEX access_member ON access (member);
CREATE INDEX activities_app ON activities (app);
CREATE INDEX addons_app ON addons (app);
CREATE INDEX backups_app ON backups (app);
CREATE UNIQUE INDEX apps_handle ON apps (handle);
PRAGMA user_version = 8;
