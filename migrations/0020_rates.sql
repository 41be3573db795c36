-- Rates per second, hour and day beside the minute, a cap for each end-customer, limits on calls of one model or endpoint
-- on every scope.

ALTER TABLE limits
  DROP CONSTRAINT limits_window_check,
  ADD CONSTRAINT limits_window_check
    CHECK ("window" IN ('second', 'minute', 'hour', 'per_day', 'day', 'week', 'month', 'quarter', 'year', 'lifetime', 'none',
                        'rolling')),
  -- '': all calls; else those of models that the pattern describes, or of this endpoint.
  ADD COLUMN filter_model text NOT NULL DEFAULT '',
  ADD COLUMN filter_endpoint text NOT NULL DEFAULT '',
  DROP CONSTRAINT limits_each_check,
  DROP CONSTRAINT limits_each,
  ADD CONSTRAINT limits_each CHECK (
    each = '' OR (scope = 'provider_account' AND each IN ('organization', 'project', 'user', 'key')) OR
    (scope IN ('organization', 'project') AND each IN ('user', 'key', 'end_customer'))),
  DROP CONSTRAINT limits_filter,
  ADD CONSTRAINT limits_filter CHECK (
    (filter_tool <> '')::int + (filter_tag <> '')::int + (filter_model <> '')::int + (filter_endpoint <> '')::int <= 1);

-- A new limit starts from what the ledger has for its window. NULL: nobody has looked yet, and no call is admitted under
-- it; else the directory's version with which its counters were made, negative where there was nothing to make: counters
-- that were filled from an older ledger lack them. 0: of limits before. `seed`: how exactly its records could tell.
ALTER TABLE limits
  ADD COLUMN seeded_version bigint DEFAULT 0,
  ADD COLUMN seed text NOT NULL DEFAULT '' CHECK (seed IN ('', 'exact', 'as_recorded'));
-- Of `settled`: what records that do not name the limit have added.
ALTER TABLE limit_usage ADD COLUMN seeded numeric(30, 0) NOT NULL DEFAULT 0;

-- The windows of new limits. A record of a call that was admitted before its proxy knew the limit does not name it; for as
-- long as such records may come, ingest charges it to the limits that stand here.
CREATE TABLE limit_seeds (
  limit_id  text NOT NULL REFERENCES limits ON DELETE CASCADE,
  window_id text NOT NULL,
  starts_at timestamptz NOT NULL,
  ends_at   timestamptz NOT NULL,
  -- Of a provider account, `<provider>/<account>` as records write it; else the limit's subject.
  subject   text NOT NULL,
  added_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (limit_id, window_id)
);
