-- Alerts: what was told, once for each limit, window and threshold, whichever process saw it first.

CREATE TABLE alerts (
  organization_id   text NOT NULL,
  limit_id          text NOT NULL,
  subject           text NOT NULL,
  window_id         text NOT NULL,
  threshold_percent integer NOT NULL,
  settled           numeric(30, 0) NOT NULL,
  cap               numeric(30, 0) NOT NULL,
  raised_at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, limit_id, subject, window_id, threshold_percent)
);
