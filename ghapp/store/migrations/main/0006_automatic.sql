-- Automatic deploys: judged by the app itself, until their checks are green out of the line.
ALTER TABLE deploys ADD COLUMN out_of_line BIGINT NOT NULL DEFAULT 0;
ALTER TABLE deploys ADD COLUMN judge_at BIGINT;       -- an automatic one is looked at then
ALTER TABLE deploys ADD COLUMN compared_with BIGINT;  -- id of what was live and does not contain it; 0: nothing was
CREATE INDEX deploys_automatic ON deploys (environment_id, door, out_of_line)
  WHERE state = 'queued' AND door = 'automatic';
CREATE INDEX deploys_judged ON deploys (judge_at) WHERE state = 'queued' AND judge_at IS NOT NULL;
