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
