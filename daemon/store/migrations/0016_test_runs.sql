-- The newest test runs of each app. What they wrote is in files.
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
