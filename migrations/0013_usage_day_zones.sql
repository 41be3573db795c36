-- Days are folded in UTC too, beside those of each organization's own zone, so that several zones have days in common.

ALTER TABLE usage_day ADD COLUMN time_zone text NOT NULL DEFAULT '';
UPDATE usage_day u SET time_zone = f.time_zone
FROM usage_day_fold f WHERE f.organization_id = u.organization_id AND f.starts_at = u.starts_at;
ALTER TABLE usage_day ALTER COLUMN time_zone DROP DEFAULT;
ALTER TABLE usage_day DROP CONSTRAINT usage_day_pkey;
ALTER TABLE usage_day ADD PRIMARY KEY (organization_id, time_zone, starts_at, series_id);

-- Whether the rollup has changed since, by marks that a fold in the other zone has taken away.
ALTER TABLE usage_day_fold ADD COLUMN is_stale boolean NOT NULL DEFAULT false;
ALTER TABLE usage_day_fold DROP CONSTRAINT usage_day_fold_pkey;
ALTER TABLE usage_day_fold ADD PRIMARY KEY (organization_id, time_zone, starts_at);
