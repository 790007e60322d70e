-- Second names of an attachment's config vars, and what they are second names of; an object, as JSON.
ALTER TABLE attachments ADD COLUMN aliases TEXT NOT NULL DEFAULT '{}';
