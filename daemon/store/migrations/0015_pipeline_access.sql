-- What a member may do with the apps of a pipeline: with those of one stage, or of all if it is empty.
CREATE TABLE pipeline_access (
	pipeline TEXT NOT NULL REFERENCES pipelines (name) ON DELETE CASCADE,
	member TEXT NOT NULL REFERENCES members (name) ON DELETE CASCADE,
	stage TEXT NOT NULL,
	permissions TEXT NOT NULL,
	PRIMARY KEY (pipeline, member, stage)
) STRICT, WITHOUT ROWID;
CREATE INDEX pipeline_access_member ON pipeline_access (member);
