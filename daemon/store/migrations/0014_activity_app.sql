-- When the app of an event was created: by its name alone it is taken for another that has, or had, the
-- name. 0: there is no such app any more.
ALTER TABLE activities ADD COLUMN app_created INTEGER NOT NULL DEFAULT 0;
UPDATE activities SET app_created = COALESCE((SELECT created FROM apps WHERE apps.name = activities.app AND apps.created <= activities.time), 0);
