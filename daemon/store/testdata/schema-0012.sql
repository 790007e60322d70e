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
, release_backups INTEGER NOT NULL DEFAULT 0, handle TEXT NOT NULL DEFAULT '', builder TEXT NOT NULL DEFAULT '{}', capabilities TEXT NOT NULL DEFAULT '[]');
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
	error         TEXT NOT NULL, origin_app TEXT NOT NULL DEFAULT '', origin_version INTEGER NOT NULL DEFAULT 0,
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
	vars   TEXT NOT NULL, aliases TEXT NOT NULL DEFAULT '{}',
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
CREATE TABLE builds (
	app TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
	number INTEGER NOT NULL,
	status TEXT NOT NULL,
	member TEXT NOT NULL,
	commit_id TEXT NOT NULL,
	created INTEGER NOT NULL,
	finished INTEGER NOT NULL,
	release INTEGER NOT NULL,
	error TEXT NOT NULL,
	PRIMARY KEY (app, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE pipelines (
	name TEXT NOT NULL PRIMARY KEY,
	created INTEGER NOT NULL,
	owner TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE couplings (
	app TEXT NOT NULL PRIMARY KEY REFERENCES apps (name) ON DELETE CASCADE,
	pipeline TEXT NOT NULL REFERENCES pipelines (name) ON DELETE CASCADE,
	stage TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta (name, value) VALUES ('key-check', X'01E4C36C51FD064385964D5F186C8920745E568D612443ABF5E9E0EB02F1BA5540A418BA4C8C70E589');
INSERT INTO apps (name, created, owner, sealed_config, formation, current, maintenance, deploy_branch, last_version, release_backups, handle, builder, capabilities) VALUES ('shop', 0, 'ada', X'019DFF5ED7B2703C580DA2CA0027C1296C7DF9705E542E559CEB3ED18D6FD01DFA3D5A71F34DEA1D8B4707BB81ADBF5108772D0C6525C88DFBAB211697', '{"web":2}', 0, 0, '', 1, 0, 'shop', '{}', 'null');
INSERT INTO releases (app, version, status, description, member, created, commit_id, image, kind, processes, health, sealed_config, output, error, origin_app, origin_version) VALUES ('shop', 1, '', '', '', 0, '', '', '', 'null', '{}', X'01AC1BD0C2BC32D2C7F2C9D21BA69AB449C866D393F36E5A9E962426B01589798466CC72EDDF0EA4A13AB8127F790BF0110148BEB427AA71CC2A7B91FF', '', '', '', 0);
INSERT INTO addons (name, service, plan, version, generation, status, created, sealed_secrets, app) VALUES ('redis-shop', 'redis', '', '', 0, '', 0, X'01AB14CC1D07F866C9E61778DF8530E31C77F9CEEA6BBB7217B8666CB1BAFC4A1E46299BCAAA06BA07D810DEDF2655D432E6E36238B288E7DEF08E789174', 'shop');
INSERT INTO attachments (id, addon, app, prefix, vars, aliases) VALUES (1, 'redis-shop', 'shop', '', '["REDISCLOUD_URL"]', 'null');
INSERT INTO backups (id, addon, service, version, status, reason, created, finished, size, stall, proven, facts, error, detail, sealed_secrets, app) VALUES ('redis-shop.1', 'redis-shop', 'redis', '', '', '', 0, 0, 0, 0, 0, '', '', '', X'', 'shop');
INSERT INTO members (name, admin, created) VALUES ('ada', 1, 0);
INSERT INTO keys (fingerprint, member, key, created) VALUES ('SHA256:x', 'ada', 'ssh-ed25519 AAAA ada', 0);
INSERT INTO builds (app, number, status, member, commit_id, created, finished, release, error) VALUES ('shop', 1, 'succeeded', 'ada', '0123', 0, 0, 1, '');
CREATE INDEX domains_app ON domains (app);
CREATE INDEX attachments_app ON attachments (app);
CREATE INDEX backups_addon ON backups (addon);
CREATE INDEX keys_member ON keys (member);
CREATE INDEX access_member ON access (member);
CREATE INDEX activities_app ON activities (app);
CREATE INDEX addons_app ON addons (app);
CREATE INDEX backups_app ON backups (app);
CREATE UNIQUE INDEX apps_handle ON apps (handle);
PRAGMA user_version = 12;
