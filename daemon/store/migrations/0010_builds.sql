-- The newest builds of each app. What they wrote is in files.
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
