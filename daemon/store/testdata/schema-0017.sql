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
, release_backups INTEGER NOT NULL DEFAULT 0, handle TEXT NOT NULL DEFAULT '', builder TEXT NOT NULL DEFAULT '{}', capabilities TEXT NOT NULL DEFAULT '[]', tests_first INTEGER NOT NULL DEFAULT 0, sealed_test_config BLOB NOT NULL DEFAULT x'');
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
, event TEXT NOT NULL DEFAULT 'null');
CREATE TABLE activities (
	id     INTEGER PRIMARY KEY AUTOINCREMENT,
	time   INTEGER NOT NULL,
	member TEXT NOT NULL,
	app    TEXT NOT NULL,
	text   TEXT NOT NULL
, kind TEXT NOT NULL DEFAULT '', key TEXT NOT NULL DEFAULT '', address TEXT NOT NULL DEFAULT '', subject TEXT NOT NULL DEFAULT '', release INTEGER NOT NULL DEFAULT 0, outcome TEXT NOT NULL DEFAULT 'done', code INTEGER NOT NULL DEFAULT 0, took INTEGER NOT NULL DEFAULT 0, names TEXT NOT NULL DEFAULT 'null', undo TEXT NOT NULL DEFAULT '', app_created INTEGER NOT NULL DEFAULT 0);
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
CREATE TABLE pipeline_access (
	pipeline TEXT NOT NULL REFERENCES pipelines (name) ON DELETE CASCADE,
	member TEXT NOT NULL REFERENCES members (name) ON DELETE CASCADE,
	stage TEXT NOT NULL,
	permissions TEXT NOT NULL,
	PRIMARY KEY (pipeline, member, stage)
) STRICT, WITHOUT ROWID;
CREATE TABLE test_runs (
	app TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
	number INTEGER NOT NULL,
	id TEXT NOT NULL,
	pipeline TEXT NOT NULL,
	status TEXT NOT NULL,
	member TEXT NOT NULL,
	branch TEXT NOT NULL,
	commit_id TEXT NOT NULL,
	subject TEXT NOT NULL,
	created INTEGER NOT NULL,
	finished INTEGER NOT NULL,
	error TEXT NOT NULL,
	nodes TEXT NOT NULL,
	PRIMARY KEY (app, number)
) STRICT, WITHOUT ROWID;
INSERT INTO meta (name, value) VALUES ('key-check', X'0168645E667EF8BBCE41BE40466598E38960DB7A3A455FD5D3741A4E81FE6B91F3E3B563D0170415DC');
INSERT INTO apps (name, created, owner, sealed_config, formation, current, maintenance, deploy_branch, last_version, release_backups, handle, builder, capabilities, tests_first, sealed_test_config) VALUES ('shop', 0, 'ada', X'0155F529A7621335258493FF22CED19C531424D69C15F3E70B2DEF0B23523D0E14C9EBE791663A7E8ED2D709D21B7BAB31E3F562375F143347C82C8CE2', '{"web":2}', 0, 0, '', 1, 0, 'shop', '{}', 'null', 0, X'');
INSERT INTO releases (app, version, status, description, member, created, commit_id, image, kind, processes, health, sealed_config, output, error, origin_app, origin_version) VALUES ('shop', 1, '', '', '', 0, '', '', '', 'null', '{}', X'010403397020A4F894F507A8B90CC83259F35CCB32A38C424B411480AF8A39E378DB65D4A4704B82A17F3BD68B7F0480BE41407FBEDAF2AC46D7894233', '', '', '', 0);
INSERT INTO addons (name, service, plan, version, generation, status, created, sealed_secrets, app) VALUES ('redis-shop', 'redis', '', '', 0, '', 0, X'013BD600ACCD0336CA14464B4B2A08B6DDB5E466A1165EE20403C0E04EA9BEEB6233D9967A610C73782309F8523640021063274386171D3C33D749195A31', 'shop');
INSERT INTO attachments (id, addon, app, prefix, vars, aliases) VALUES (1, 'redis-shop', 'shop', '', '["REDISCLOUD_URL"]', 'null');
INSERT INTO backups (id, addon, service, version, status, reason, created, finished, size, stall, proven, facts, error, detail, sealed_secrets, app) VALUES ('redis-shop.1', 'redis-shop', 'redis', '', '', '', 0, 0, 0, 0, 0, '', '', '', X'', 'shop');
INSERT INTO members (name, admin, created) VALUES ('ada', 1, 0);
INSERT INTO keys (fingerprint, member, key, created) VALUES ('SHA256:x', 'ada', 'ssh-ed25519 AAAA ada', 0);
INSERT INTO builds (app, number, status, member, commit_id, created, finished, release, error) VALUES ('shop', 1, 'succeeded', 'ada', '0123', 0, 0, 1, '');
INSERT INTO test_runs (app, number, id, pipeline, status, member, branch, commit_id, subject, created, finished, error, nodes) VALUES ('shop', 1, 'abc', '', 'succeeded', 'ada', 'topic', '', '', 0, 0, '', '[{"index":0,"status":"succeeded","exit_code":0,"passed":0,"failed":0,"skipped":0}]');
CREATE INDEX domains_app ON domains (app);
CREATE INDEX attachments_app ON attachments (app);
CREATE INDEX backups_addon ON backups (addon);
CREATE INDEX keys_member ON keys (member);
CREATE INDEX access_member ON access (member);
CREATE INDEX activities_app ON activities (app);
CREATE INDEX addons_app ON addons (app);
CREATE INDEX backups_app ON backups (app);
CREATE UNIQUE INDEX apps_handle ON apps (handle);
CREATE INDEX activities_member ON activities (member, kind, time);
CREATE INDEX activities_time ON activities (time);
CREATE INDEX pipeline_access_member ON pipeline_access (member);
PRAGMA user_version = 17;
