-- A line's order, its length and since when it waits are read from indexes alone. SQLite takes one for all that a query
-- needs only where every column that the query names is in it, those of its conditions and expressions too:
-- https://www.sqlite.org/partialindex.html, https://www.sqlite.org/expridx.html
DROP INDEX deploys_line;
CREATE INDEX deploys_line ON deploys (
  environment_id, (front_at IS NULL), COALESCE(front_at, asked_at), COALESCE(deployment_id, 4611686018427387904), id,
  state, out_of_line, front_at, asked_at, deployment_id
) WHERE state = 'queued' AND out_of_line = 0;
CREATE INDEX deploys_waiting ON deploys (environment_id, state, asked_at) WHERE state = 'queued';
