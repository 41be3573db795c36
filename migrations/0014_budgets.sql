-- Budgets: further windows, limits that only warn or only count, raises that end, a cap for each user or key of an
-- organization or project, limits on the calls of one tool or tag, thresholds.

ALTER TABLE limits
  DROP CONSTRAINT limits_window_check,
  ADD CONSTRAINT limits_window_check
    CHECK ("window" IN ('minute', 'day', 'week', 'month', 'quarter', 'year', 'lifetime', 'none', 'rolling')),
  ADD COLUMN enforcement text NOT NULL DEFAULT 'hard' CHECK (enforcement IN ('hard', 'soft', 'shadow')),
  -- Percent of the cap at which someone is told, lowest first.
  ADD COLUMN thresholds integer[] NOT NULL DEFAULT '{50,80,100}',
  -- The cap until then, where it is the larger one. Nothing has to end it.
  ADD COLUMN raised_cap numeric(30, 0) CHECK (raised_cap >= 0),
  ADD COLUMN raised_until timestamptz,
  -- '': all calls; else those of this tool, or with this tag.
  ADD COLUMN filter_tool text NOT NULL DEFAULT '',
  ADD COLUMN filter_tag text NOT NULL DEFAULT '',
  DROP CONSTRAINT limits_each,
  ADD CONSTRAINT limits_each
    CHECK (each = '' OR scope = 'provider_account' OR (scope IN ('organization', 'project') AND each IN ('user', 'key'))),
  ADD CONSTRAINT limits_raise CHECK ((raised_cap IS NULL) = (raised_until IS NULL)),
  ADD CONSTRAINT limits_filter CHECK (
    (filter_tool = '' OR filter_tag = '') AND
    (filter_tool = '' AND filter_tag = '' OR scope IN ('organization', 'project')));

-- What each shadow limit would have refused. Written every second or two by each process, not with the records.
CREATE TABLE limit_shadow_refusals (
  limit_id text PRIMARY KEY,
  refusals bigint NOT NULL,
  last_at  timestamptz NOT NULL
);
