-- An add-on, and each of its backups, belongs to one app; to none, and so to administrators
-- alone, once that app is gone. Add-ons from before belong to the app that they were made
-- for, or else to the one that has been attached for the longest time. A backup that is older
-- than the add-on of its name may be that of another owner's.
ALTER TABLE addons ADD COLUMN app TEXT REFERENCES apps (name) ON DELETE SET NULL;
UPDATE addons SET app = COALESCE(
	(SELECT activities.app FROM activities JOIN attachments ON attachments.addon = addons.name AND attachments.app = activities.app
		WHERE activities.text = 'created the add-on ' || addons.name ORDER BY activities.id DESC LIMIT 1),
	(SELECT app FROM attachments WHERE addon = addons.name ORDER BY id LIMIT 1));
CREATE INDEX addons_app ON addons (app);

ALTER TABLE backups ADD COLUMN app TEXT REFERENCES apps (name) ON DELETE SET NULL;
UPDATE backups SET app = (SELECT app FROM addons WHERE name = backups.addon AND addons.created <= backups.created);
CREATE INDEX backups_app ON backups (app);
