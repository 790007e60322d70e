-- Whether a push is deployed only once its tests have succeeded, and the config vars of test runs, sealed; empty: none.
ALTER TABLE apps ADD COLUMN tests_first INTEGER NOT NULL DEFAULT 0;
ALTER TABLE apps ADD COLUMN sealed_test_config BLOB NOT NULL DEFAULT x'';
