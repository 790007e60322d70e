-- How the app's source is built, if somebody has chosen; the fields of daemon.BuilderChoice, as JSON.
ALTER TABLE apps ADD COLUMN builder TEXT NOT NULL DEFAULT '{}';
