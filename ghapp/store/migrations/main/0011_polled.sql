-- Repositories of hosts that tell nothing by themselves: when their branches were last looked at, and where they were.
CREATE TABLE polled (
  repository_id BIGINT PRIMARY KEY REFERENCES repositories (id),
  source TEXT NOT NULL,               -- as the config names it
  looked_at BIGINT NOT NULL
);
CREATE TABLE branches (
  repository_id BIGINT NOT NULL REFERENCES repositories (id),
  name TEXT NOT NULL,
  sha TEXT NOT NULL,
  PRIMARY KEY (repository_id, name)
);
