-- The secrets that were in force when a backup was taken; empty for one from before
-- they were kept.
ALTER TABLE backups ADD COLUMN sealed_secrets BLOB NOT NULL DEFAULT x'';
