-- The capabilities that an app's processes have, which an administrator has given; a list, as JSON.
ALTER TABLE apps ADD COLUMN capabilities TEXT NOT NULL DEFAULT '[]';
