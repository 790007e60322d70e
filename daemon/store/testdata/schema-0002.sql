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
, sealed_secrets BLOB NOT NULL DEFAULT x'');
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
INSERT INTO meta (name, value) VALUES ('key-check', X'01C3CD93C98B8A57EC8C489FFEB3CE42589086E40CB9C7E3DBEF6152B107D3426BFE6138CA79C3EA57');
INSERT INTO apps (name, created, owner, sealed_config, formation, current, maintenance, deploy_branch, last_version) VALUES ('shop', 0, 'ada', X'0125167D62B7940F8B8AFE2A571E5705671B93D26CB802DD1A9DF36548536D752AFE41004582D344A68BBD75809BF0CC07A77F723250A60E6F81FD4E66', '{"web":2}', 0, 0, '', 1);
INSERT INTO releases (app, version, status, description, member, created, commit_id, image, kind, processes, health, sealed_config, output, error) VALUES ('shop', 1, '', '', '', 0, '', '', '', 'null', '{}', X'01E7D64B1368D647B472F9B875052F8AC24FDEEDF67B3DE60616631A450916876E2FF50EEA50455609AF1132CB90BFE95D2030DEAE28A7BE8EC20ECE96', '', '');
INSERT INTO addons (name, service, plan, version, generation, status, created, sealed_secrets) VALUES ('redis-shop', 'redis', '', '', 0, '', 0, X'01777438B327ECF2A1AE10D0971CD1957B1EB858995097D81B23570A52F4E3C46C962BCC7ACD657F13289A542AE3825FAD547A51990642D2D9F537FF22F6');
INSERT INTO attachments (id, addon, app, prefix, vars) VALUES (1, 'redis-shop', 'shop', '', '["REDISCLOUD_URL"]');
INSERT INTO backups (id, addon, service, version, status, reason, created, finished, size, stall, proven, facts, error, detail, sealed_secrets) VALUES ('redis-shop.1', 'redis-shop', 'redis', '', '', '', 0, 0, 0, 0, 0, '', '', '', X'');
INSERT INTO members (name, admin, created) VALUES ('ada', 1, 0);
INSERT INTO keys (fingerprint, member, key, created) VALUES ('SHA256:x', 'ada', 'ssh-ed25519 AAAA ada', 0);
CREATE INDEX domains_app ON domains (app);
CREATE INDEX attachments_app ON attachments (app);
CREATE INDEX backups_addon ON backups (addon);
CREATE INDEX keys_member ON keys (member);
CREATE INDEX access_member ON access (member);
CREATE INDEX activities_app ON activities (app);
PRAGMA user_version = 2;
