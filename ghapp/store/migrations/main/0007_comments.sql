-- Comments at the provider that asked for something. Acted on at most once, whatever dies in between.
CREATE TABLE comments (
  repository_id BIGINT NOT NULL REFERENCES repositories (id),
  comment_id BIGINT NOT NULL,         -- the provider's
  heard_at BIGINT NOT NULL,
  acted_at BIGINT,                    -- in the transaction that did what it asks for
  answered_at BIGINT,
  PRIMARY KEY (repository_id, comment_id)
);
CREATE INDEX comments_old ON comments (heard_at);

-- The comment that tells of a deploy: at most one each.
CREATE TABLE tellings (
  deploy_id BIGINT PRIMARY KEY REFERENCES deploys (id),
  number BIGINT,                      -- of the pull request; null: to be found by the sha
  comment_id BIGINT,                  -- the provider's; null until it is written
  asked_in BIGINT,                    -- the comment that asked for the deploy
  shown_at BIGINT                     -- when it was written last
);

-- The newest head that events told of each pull request.
CREATE TABLE heads (
  repository_id BIGINT NOT NULL REFERENCES repositories (id),
  number BIGINT NOT NULL,
  sha TEXT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (repository_id, number)
);
