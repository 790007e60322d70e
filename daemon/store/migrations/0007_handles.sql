-- What an app is called outside of the store: its first name, which it keeps when it is renamed.
ALTER TABLE apps ADD COLUMN handle TEXT NOT NULL DEFAULT '';
UPDATE apps SET handle = name;
CREATE UNIQUE INDEX apps_handle ON apps (handle);
