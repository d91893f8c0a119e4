-- Times are milliseconds since the epoch, UTC; booleans are 0 or 1; JSON is TEXT.

CREATE TABLE repositories (
  id {id},
  provider TEXT NOT NULL,
  provider_id BIGINT NOT NULL,
  full_name TEXT NOT NULL,
  clone_url TEXT NOT NULL,
  default_branch TEXT,
  installation_id BIGINT,
  UNIQUE (provider, provider_id)
);

CREATE TABLE apps (
  id {id},
  name TEXT NOT NULL UNIQUE,
  repository_id BIGINT REFERENCES repositories (id),
  last_number BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE environments (
  id {id},
  app_id BIGINT NOT NULL REFERENCES apps (id),
  name TEXT NOT NULL,
  rolled_back_from BIGINT,            -- id of the deploy that was live; while set, automatic deploys wait
  rolled_back_by TEXT,
  rolled_back_at BIGINT,
  UNIQUE (app_id, name)
);

CREATE TABLE deploys (
  id {id},
  app_id BIGINT NOT NULL REFERENCES apps (id),
  environment_id BIGINT NOT NULL REFERENCES environments (id),
  repository_id BIGINT NOT NULL REFERENCES repositories (id),
  number BIGINT NOT NULL,
  request TEXT NOT NULL UNIQUE,
  deployment_id BIGINT,
  registering BIGINT NOT NULL DEFAULT 0, -- the provider is yet to tell its deployment id
  door TEXT NOT NULL,
  task TEXT NOT NULL,
  ref TEXT NOT NULL,
  sha TEXT NOT NULL,
  "user" TEXT NOT NULL,
  on_behalf_of TEXT,
  hosts TEXT NOT NULL DEFAULT '',
  config TEXT NOT NULL,               -- the environment's config when it was asked for
  state TEXT NOT NULL,
  blockers TEXT NOT NULL DEFAULT '[]', -- as shown
  own_blockers TEXT NOT NULL DEFAULT '[]', -- those that concern this deploy alone, as last reported
  asked_at BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  ready_at BIGINT,                    -- claimable from then on; null while it is not next
  front_at BIGINT,                    -- put to the front of the line
  forced_by TEXT,
  forced TEXT NOT NULL DEFAULT '[]',
  checks_until BIGINT,                -- checks are its only blocker; then it is rejected
  stale_holds BIGINT NOT NULL DEFAULT 0,

  claims BIGINT NOT NULL DEFAULT 0,
  claim_id TEXT,
  lease_hash TEXT,
  lease_until BIGINT,
  confirmed BIGINT NOT NULL DEFAULT 0,
  runner TEXT,
  defined_in TEXT NOT NULL DEFAULT 'operator',
  check_counter BIGINT NOT NULL DEFAULT 0, -- as handed out with the claim
  previous_sha TEXT,
  claimed_at BIGINT,
  start_grant_at BIGINT,
  started_at BIGINT,
  ended_at BIGINT,
  cancel_requested_by TEXT,
  cancel_requested_at BIGINT,
  lost_since BIGINT,
  declared_dead_by TEXT,
  ended_by TEXT,
  started BIGINT,
  exit_code BIGINT,
  signal BIGINT,
  reason TEXT NOT NULL DEFAULT '',
  log_end BIGINT,

  shown_state TEXT,                   -- the status that the provider is known to show
  shown_description TEXT,
  shown_at BIGINT,
  shown_blocker BIGINT NOT NULL DEFAULT 0,
  status_writer TEXT,                 -- app or runner, while one may be writing
  status_writer_since BIGINT,
  status_problem TEXT,

  UNIQUE (app_id, number)
);
CREATE UNIQUE INDEX deploys_deployment ON deploys (repository_id, deployment_id) WHERE deployment_id IS NOT NULL;
CREATE UNIQUE INDEX deploys_active ON deploys (environment_id) WHERE state IN ('claimed', 'running');
-- In the order in which it is their turn: 4611686018427387904 comes after all deployment ids.
CREATE INDEX deploys_line ON deploys (
  environment_id, (front_at IS NULL), COALESCE(front_at, asked_at), COALESCE(deployment_id, 4611686018427387904), id
) WHERE state = 'queued';
CREATE INDEX deploys_heads ON deploys (
  (front_at IS NULL), COALESCE(front_at, asked_at), COALESCE(deployment_id, 4611686018427387904), id, ready_at
) WHERE state = 'queued' AND ready_at IS NOT NULL;
CREATE INDEX deploys_ready ON deploys (ready_at) WHERE state = 'queued' AND ready_at IS NOT NULL;
CREATE INDEX deploys_leased ON deploys (lease_until) WHERE state IN ('claimed', 'running');
CREATE INDEX deploys_checks_until ON deploys (checks_until) WHERE state = 'queued' AND checks_until IS NOT NULL;
CREATE INDEX deploys_of_sha ON deploys (repository_id, sha) WHERE state IN ('queued', 'claimed', 'running');
CREATE INDEX deploys_durations ON deploys (environment_id, task, ended_at) WHERE state = 'succeeded';
CREATE INDEX deploys_live ON deploys (environment_id, ended_at) WHERE state = 'succeeded' AND task IN ('deploy', 'rollback');
CREATE INDEX deploys_shown_success ON deploys (environment_id, ended_at) WHERE shown_state = 'success';
-- One for each set of conditions that a page of the history may have.
CREATE INDEX deploys_history ON deploys (environment_id, id);
CREATE INDEX deploys_history_state ON deploys (environment_id, state, id);
CREATE INDEX deploys_history_user ON deploys (environment_id, "user", id);
CREATE INDEX deploys_history_user_state ON deploys (environment_id, "user", state, id);
CREATE INDEX deploys_by_sha ON deploys (app_id, sha);

-- A claim id is remembered for as long as a runner might repeat it.
CREATE TABLE claims (
  claim_id TEXT PRIMARY KEY,
  deploy_id BIGINT NOT NULL REFERENCES deploys (id),
  at BIGINT NOT NULL
);
CREATE INDEX claims_at ON claims (at);

CREATE TABLE locks (
  id {id},
  app_id BIGINT REFERENCES apps (id),
  environment_id BIGINT REFERENCES environments (id),
  who TEXT NOT NULL,
  reason TEXT NOT NULL,
  since BIGINT NOT NULL,
  until BIGINT,
  told BIGINT NOT NULL DEFAULT 0      -- its owner, that it ends soon
);
CREATE UNIQUE INDEX locks_scope ON locks (COALESCE(app_id, 0), COALESCE(environment_id, 0));

CREATE TABLE runners (
  name TEXT PRIMARY KEY,
  labels TEXT NOT NULL,
  apps TEXT,
  version TEXT NOT NULL,
  boot_id TEXT NOT NULL,
  seen_at BIGINT NOT NULL,
  granted TEXT NOT NULL DEFAULT '{}'  -- what its token lets it take of what it wishes
);

-- What people, scripts and runners present. Lists are JSON; null: every one.
CREATE TABLE tokens (
  id {id},
  hash TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  owner TEXT NOT NULL,
  scopes TEXT NOT NULL,
  apps TEXT NOT NULL,
  environments TEXT NOT NULL,
  labels TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  expires_at BIGINT,
  last_used_at BIGINT,
  revoked_at BIGINT
);

-- Audit and timeline in one; append only.
CREATE TABLE events (
  id {id},
  at BIGINT NOT NULL,
  kind TEXT NOT NULL,
  who TEXT,
  deploy_id BIGINT REFERENCES deploys (id),
  app TEXT,
  environment TEXT,
  door TEXT,                          -- by which door; null: Kedge by itself
  address TEXT,                       -- of the client that asked
  data TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX events_of_deploy ON events (deploy_id, id);
CREATE INDEX events_of_app ON events (app, id);
CREATE INDEX events_of_who ON events (who, id);
CREATE INDEX events_of_kind ON events (kind, id);

-- What metrics count: added up where it happens, so that it survives a restart and no history has to be read.
CREATE TABLE totals (
  environment_id BIGINT NOT NULL REFERENCES environments (id),
  name TEXT NOT NULL,
  label TEXT NOT NULL,                -- a state, or a histogram's bucket
  count BIGINT NOT NULL,
  PRIMARY KEY (environment_id, name, label)
);

-- The inbox.
CREATE TABLE deliveries (
  id {id},
  guid TEXT NOT NULL UNIQUE,
  event TEXT NOT NULL,
  received_at BIGINT NOT NULL,
  state TEXT NOT NULL,                -- waiting, done, ignored, failed
  attempts BIGINT NOT NULL DEFAULT 0,
  next_at BIGINT NOT NULL,
  problem TEXT,
  body {blob}
);
CREATE INDEX deliveries_waiting ON deliveries (next_at, id) WHERE state = 'waiting';
CREATE INDEX deliveries_old ON deliveries (received_at);
CREATE INDEX deliveries_bodies ON deliveries (received_at) WHERE body IS NOT NULL;

-- The outbox: what the outside world shall be told.
CREATE TABLE notices (
  id {id},
  channel TEXT NOT NULL,              -- register, status, verify
  deploy_id BIGINT REFERENCES deploys (id),
  repository_id BIGINT NOT NULL REFERENCES repositories (id),
  deployment_id BIGINT NOT NULL,      -- 0 until it is registered
  body TEXT NOT NULL,
  final BIGINT NOT NULL DEFAULT 0,
  version BIGINT NOT NULL DEFAULT 1,  -- counts what replaced the body while it waited
  state TEXT NOT NULL,                -- waiting, done, failed
  created_at BIGINT NOT NULL,
  next_at BIGINT NOT NULL,
  attempts BIGINT NOT NULL DEFAULT 0,
  unsure BIGINT NOT NULL DEFAULT 0,   -- an answer was lost: look before repeating
  problem TEXT
);
CREATE INDEX notices_waiting ON notices (next_at) WHERE state = 'waiting';
CREATE INDEX notices_due ON notices (final, next_at, id) WHERE state = 'waiting';
CREATE INDEX notices_old ON notices (created_at);
CREATE INDEX notices_without_deploy ON notices (repository_id, deployment_id) WHERE deploy_id IS NULL;
CREATE UNIQUE INDEX notices_one_wanted ON notices (deploy_id, channel) WHERE state = 'waiting' AND deploy_id IS NOT NULL;
CREATE INDEX notices_of_deploy ON notices (deploy_id, id);

-- The newest that events told of each check. The counter of a sha is the highest here.
CREATE TABLE checks_seen (
  repository_id BIGINT NOT NULL REFERENCES repositories (id),
  sha TEXT NOT NULL,
  "key" TEXT NOT NULL,
  name TEXT NOT NULL,
  state TEXT NOT NULL,
  at BIGINT NOT NULL,
  serial BIGINT NOT NULL,
  url TEXT,
  detail TEXT NOT NULL DEFAULT '',
  counter BIGINT NOT NULL,
  seen_at BIGINT NOT NULL,
  PRIMARY KEY (repository_id, sha, "key")
);
CREATE INDEX checks_seen_old ON checks_seen (seen_at);
