-- How far each provider's own record of what it sent was read back.
CREATE TABLE reconciled (
  provider TEXT PRIMARY KEY,
  begun_at BIGINT NOT NULL,           -- the first start ever: what is older is history
  heard_until BIGINT NOT NULL         -- everything sent before is stored
);

ALTER TABLE apps ADD COLUMN source TEXT;       -- provider and repository, as the config in force names them
ALTER TABLE apps ADD COLUMN source_since BIGINT; -- since when: what is older is history
