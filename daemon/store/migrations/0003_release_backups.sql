-- Whether a backup of each add-on is taken before each release.
ALTER TABLE apps ADD COLUMN release_backups INTEGER NOT NULL DEFAULT 0;
