-- In a file of their own on SQLite, so that logs never delay the queue.

CREATE TABLE log_ends (
  deploy_id BIGINT PRIMARY KEY,
  contiguous_end BIGINT NOT NULL
);

CREATE TABLE log_chunks (
  deploy_id BIGINT NOT NULL,
  start BIGINT NOT NULL,              -- offset in the log, before compression
  length BIGINT NOT NULL,             -- bytes before compression
  codec TEXT NOT NULL,                -- zstd or identity
  body {blob} NOT NULL,
  PRIMARY KEY (deploy_id, start)
);
