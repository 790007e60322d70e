-- An activity is an event of a kind, with what it was done to and what came of it. Of those that are
-- there already only the text is known.
ALTER TABLE activities ADD COLUMN kind TEXT NOT NULL DEFAULT '';
ALTER TABLE activities ADD COLUMN key TEXT NOT NULL DEFAULT '';
ALTER TABLE activities ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE activities ADD COLUMN subject TEXT NOT NULL DEFAULT '';
ALTER TABLE activities ADD COLUMN release INTEGER NOT NULL DEFAULT 0;
ALTER TABLE activities ADD COLUMN outcome TEXT NOT NULL DEFAULT 'done';
ALTER TABLE activities ADD COLUMN code INTEGER NOT NULL DEFAULT 0;
ALTER TABLE activities ADD COLUMN took INTEGER NOT NULL DEFAULT 0;
ALTER TABLE activities ADD COLUMN names TEXT NOT NULL DEFAULT 'null';
ALTER TABLE activities ADD COLUMN undo TEXT NOT NULL DEFAULT '';
CREATE INDEX activities_member ON activities (member, kind, time);
CREATE INDEX activities_time ON activities (time);

-- The event that is recorded once it is known what came of an operation, as JSON.
ALTER TABLE operations ADD COLUMN event TEXT NOT NULL DEFAULT 'null';
