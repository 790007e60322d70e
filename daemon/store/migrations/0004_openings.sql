-- Web pages of add-ons that are open, each for a while. The hash is bcrypt's, of a
-- password that only who opened the page was told.
CREATE TABLE openings (
	addon   TEXT PRIMARY KEY REFERENCES addons (name) ON DELETE CASCADE,
	member  TEXT NOT NULL,
	hash    TEXT NOT NULL,
	expires INTEGER NOT NULL
);
