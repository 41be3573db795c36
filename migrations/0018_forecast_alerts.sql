-- Alerts of limits that are on their way to a threshold, beside those of limits that have reached it.

ALTER TABLE alerts
  ADD COLUMN is_forecast boolean NOT NULL DEFAULT false,
  DROP CONSTRAINT alerts_pkey,
  ADD PRIMARY KEY (organization_id, rule_id, limit_id, subject, window_id, threshold_percent, is_forecast, cap);
