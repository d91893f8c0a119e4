-- The repository whose own config has the name; null: the operator's, or nobody's. It keeps the name while it is
-- `withdrawn`, which says why its config is not in force now.
ALTER TABLE apps ADD COLUMN defined_by BIGINT REFERENCES repositories (id);
ALTER TABLE apps ADD COLUMN withdrawn TEXT;

-- What each installed repository was last seen to define itself. Most define nothing.
CREATE TABLE own_configs (
  provider TEXT NOT NULL,
  provider_id BIGINT NOT NULL,
  full_name TEXT NOT NULL,
  clone_url TEXT NOT NULL,
  default_branch TEXT,
  pushed_at BIGINT NOT NULL,          -- its newest push when it was last listed
  repository_id BIGINT REFERENCES repositories (id), -- once there was a file
  look_at BIGINT,                     -- to be looked at from then on
  attempts BIGINT NOT NULL DEFAULT 0,
  trouble TEXT,                       -- why it could not be read, or what is wrong with it be shown
  judged_sha TEXT,                    -- the newest commit that touched the file
  problems TEXT NOT NULL DEFAULT '[]', -- why what that one says was not taken
  sha TEXT,                           -- where the text in force is from
  text TEXT,
  PRIMARY KEY (provider, provider_id)
);
CREATE INDEX own_configs_due ON own_configs (look_at) WHERE look_at IS NOT NULL;
