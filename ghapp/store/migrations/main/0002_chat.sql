-- Where in a chat it was asked for, for those who tell the chat how it goes.
ALTER TABLE deploys ADD COLUMN chat TEXT NOT NULL DEFAULT 'null';
