-- What an app's people set for its route; the fields of daemon.Rules, as JSON.
CREATE TABLE rules (
	app   TEXT PRIMARY KEY REFERENCES apps (name) ON DELETE CASCADE,
	rules TEXT NOT NULL
);

-- A domain that sends its visitors to another host of the app.
ALTER TABLE domains ADD COLUMN redirect TEXT NOT NULL DEFAULT '';
