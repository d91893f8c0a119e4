-- What was postponed is still owed: when it became due.
ALTER TABLE notices ADD COLUMN due_since BIGINT;
ALTER TABLE messages ADD COLUMN due_since BIGINT;
