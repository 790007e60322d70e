-- Lines of apps that builds are promoted along.
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

-- The release of another app that a release's image comes from; empty: none.
ALTER TABLE releases ADD COLUMN origin_app TEXT NOT NULL DEFAULT '';
ALTER TABLE releases ADD COLUMN origin_version INTEGER NOT NULL DEFAULT 0;
