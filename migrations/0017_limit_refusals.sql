-- How often each counter of a limit has refused, window by window, in the place of one figure for each shadow limit.

CREATE TABLE limit_refusals (
  limit_id  text NOT NULL,
  -- As in limit_usage; both are '' of what was counted before windows were told apart.
  subject   text NOT NULL,
  window_id text NOT NULL,
  -- Calls whose callers were told of this limit as the reason.
  refused   bigint NOT NULL DEFAULT 0,
  -- Calls that it would have refused while it was a shadow limit.
  shadowed  bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (limit_id, subject, window_id)
);
INSERT INTO limit_refusals (limit_id, subject, window_id, shadowed)
SELECT limit_id, '', '', refusals FROM limit_shadow_refusals;
DROP TABLE limit_shadow_refusals;
