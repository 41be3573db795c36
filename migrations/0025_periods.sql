-- Closed months: each organization's statement as it was when somebody closed the month. Rows are added and never changed:
-- what comes later for a closed month stands in the next statement, under the month that it belongs to.

CREATE TABLE periods (
  organization_id text NOT NULL,
  -- `2026-11`, in the zone that the organization had then.
  period          text NOT NULL,
  time_zone       text NOT NULL,
  -- Where the statement before ends, so that a change of zone leaves no gap and counts nothing twice.
  starts_at       timestamptz NOT NULL,
  ends_at         timestamptz NOT NULL,
  closed_at       timestamptz NOT NULL,
  closed_by       text NOT NULL,
  PRIMARY KEY (organization_id, period)
);

CREATE TABLE period_lines (
  organization_id       text NOT NULL,
  period                text NOT NULL,
  -- The month that the usage is of: the period itself, or an earlier one that was closed before it came.
  for_period            text NOT NULL,
  project_id            text NOT NULL,
  provider              text NOT NULL,
  model                 text NOT NULL,
  -- As they were named when the month was closed.
  project               text NOT NULL,
  client                text NOT NULL,
  cost_center           text NOT NULL,
  records               numeric(30,0) NOT NULL,
  adjustments           numeric(30,0) NOT NULL,
  unpriced_records      numeric(30,0) NOT NULL,
  input_uncached_tokens numeric(30,0) NOT NULL,
  cache_read_tokens     numeric(30,0) NOT NULL,
  cache_write_5m_tokens numeric(30,0) NOT NULL,
  cache_write_1h_tokens numeric(30,0) NOT NULL,
  output_tokens         numeric(30,0) NOT NULL,
  cost_usd              numeric(24,12) NOT NULL,
  PRIMARY KEY (organization_id, period, for_period, project_id, provider, model)
);

CREATE FUNCTION closed_periods_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'a closed period is never changed';
END $$;
CREATE TRIGGER periods_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON periods
  FOR EACH STATEMENT EXECUTE FUNCTION closed_periods_stay();
CREATE TRIGGER period_lines_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON period_lines
  FOR EACH STATEMENT EXECUTE FUNCTION closed_periods_stay();
