-- What is said on channels beside the providers (rooms of a chat, addresses): owed, and kept of what was said.
CREATE TABLE messages (
  id {id},
  channel TEXT NOT NULL,
  target TEXT NOT NULL,               -- where on the channel; no secret
  "key" TEXT NOT NULL,                -- what tells it from all others of that target
  deploy_id BIGINT REFERENCES deploys (id), -- null: it is about none
  body TEXT NOT NULL,                 -- JSON of the channel's own form
  state TEXT NOT NULL,                -- waiting, done, failed, handed_on
  version BIGINT NOT NULL DEFAULT 1,  -- counts what it was owed again for while it waited
  created_at BIGINT NOT NULL,
  next_at BIGINT NOT NULL,
  said_at BIGINT,                     -- when something of it was said last
  attempts BIGINT NOT NULL DEFAULT 0,
  unsure BIGINT NOT NULL DEFAULT 0,   -- an answer was lost: look before repeating
  problem TEXT,
  UNIQUE (channel, target, "key")
);
CREATE INDEX messages_due ON messages (channel, next_at, id) WHERE state = 'waiting';
CREATE INDEX messages_of_deploy ON messages (deploy_id, id);
CREATE INDEX messages_old ON messages (created_at);
