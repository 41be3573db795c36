-- How long records are kept, and who has been erased.

-- NULL: as the configuration says, else for ever. Two whole months at least: the month before stands until this one ends.
ALTER TABLE organizations
  ADD COLUMN usage_retention_days integer CHECK (usage_retention_days BETWEEN 62 AND 36500);

-- From when on an organization's records are kept. Records that come from before are refused, since nobody could tell
-- whether they were counted. Whoever deletes records of an organization holds its row's lock.
CREATE TABLE usage_forgotten (
  organization_id text PRIMARY KEY,
  before          timestamptz NOT NULL
);
CREATE FUNCTION refuse_forgotten_record() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the record is older than what is kept of its organization' USING ERRCODE = '22008';
END $$;

-- The two keys that HMAC-SHA-256 makes of the installation's key. A ledger that was restored elsewhere may have several.
CREATE TABLE erasure_keys (
  id         uuid PRIMARY KEY,
  inner_key  bytea NOT NULL CHECK (octet_length(inner_key) = 64),
  outer_key  bytea NOT NULL CHECK (octet_length(outer_key) = 64),
  created_at timestamptz NOT NULL DEFAULT now()
);
-- End-customers that were erased, and what stands in their place. Ingest and every door go by it, so that late records,
-- later calls and restored backups do not bring them back. Ingest reads it by its statement, not by a function: the
-- statement's locks are taken before its snapshot, so that whoever locks this table knows that all rows before are in.
CREATE TABLE erased_customers (
  organization_id text NOT NULL,
  key_id          uuid NOT NULL REFERENCES erasure_keys (id),
  value_hmac      bytea NOT NULL,
  pseudonym       text NOT NULL,
  erased_at       timestamptz NOT NULL DEFAULT now(),
  -- The value itself, for as long as rows are being rewritten.
  pending_value   text,
  -- Who asked for it, as the audit log names actors.
  erased_by       text NOT NULL,
  -- When the ledger was searched for the name; NULL: the entry came from a list kept elsewhere, and nobody has yet.
  searched_at     timestamptz DEFAULT now(),
  -- When counters are to be renamed once more, for calls that ran while they were; NULL: no more.
  counters_due    timestamptz,
  PRIMARY KEY (organization_id, key_id, value_hmac)
);
CREATE INDEX erased_customers_due ON erased_customers (counters_due) WHERE counters_due IS NOT NULL;
-- Users that were erased: a backup from before has their names.
CREATE TABLE erased_users (
  user_id         text PRIMARY KEY,
  organization_id text NOT NULL,
  erased_at       timestamptz NOT NULL DEFAULT now(),
  erased_by       text NOT NULL,
  -- By what texts may name them, for as long as those are being searched.
  pending_words   text[]
);
CREATE INDEX erased_users_pending ON erased_users (erased_at) WHERE pending_words IS NOT NULL;
-- Those of before are looked through once more: what they were called stands in the audit log still.
INSERT INTO erased_users (user_id, organization_id, erased_at, erased_by, pending_words)
  SELECT DISTINCT ON (subject) subject, organization_id, at, actor, '{}' FROM audit_log
  WHERE action IN ('user.erase', 'service_account.erase') ORDER BY subject, at DESC;

-- The charges of a record with another name for its end-customer.
CREATE FUNCTION erased_charges(charges jsonb, customer text, pseudonym text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(jsonb_agg(
    CASE WHEN split_part(c ->> 'subject', ' ', 2) = replace(replace(customer, '%', '%25'), ' ', '%20')
      THEN jsonb_set(c, '{subject}', to_jsonb(split_part(c ->> 'subject', ' ', 1) || ' ' || pseudonym)) ELSE c END
    ORDER BY place), '[]')
  FROM jsonb_array_elements(charges) WITH ORDINALITY AS t (c, place)
$$;
-- Tags without those that are one of the words, or hold one that is long enough to mean somebody.
CREATE FUNCTION erased_tags(tags text[], words text[], instead text) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
  SELECT ARRAY(SELECT CASE WHEN EXISTS (
      SELECT FROM unnest(words) word
      WHERE lower(tag) = lower(word) OR (length(word) >= 4 AND position(lower(word) IN lower(tag)) > 0))
    THEN instead ELSE tag END
    FROM unnest(tags) WITH ORDINALITY AS t (tag, place) ORDER BY place)
$$;
-- A record as JSON with another name for its end-customer, and without what the caller said of the call.
CREATE FUNCTION erased_record(body jsonb, customer text, pseudonym text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT (body - 'conversation' - 'metadata' - 'client_request_id') || jsonb_build_object('end_customer', pseudonym,
    'charges', erased_charges(coalesce(body -> 'charges', '[]'), customer, pseudonym),
    'tags', to_jsonb(erased_tags(ARRAY(SELECT jsonb_array_elements_text(coalesce(body -> 'tags', '[]'))),
                                 ARRAY[customer], pseudonym)))
$$;

-- Rows come and stay as they are, but for an erasure, which says so and takes names and addresses out of them.
CREATE OR REPLACE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'audit_log is append-only';
END $$;
DROP TRIGGER audit_log_append_only ON audit_log;
CREATE TRIGGER audit_log_append_only BEFORE DELETE OR TRUNCATE ON audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only();
CREATE FUNCTION audit_log_only_erases() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('tallygate.erasure', true) IS DISTINCT FROM 'on'
    OR (NEW.id, NEW.at, NEW.organization_id, NEW.actor, NEW.action, NEW.subject)
      IS DISTINCT FROM (OLD.id, OLD.at, OLD.organization_id, OLD.actor, OLD.action, OLD.subject)
    OR NEW.ip NOT IN (OLD.ip, '')
    OR ARRAY(SELECT jsonb_object_keys(NEW.before)) IS DISTINCT FROM ARRAY(SELECT jsonb_object_keys(OLD.before))
    OR ARRAY(SELECT jsonb_object_keys(NEW.after)) IS DISTINCT FROM ARRAY(SELECT jsonb_object_keys(OLD.after))
  THEN RAISE EXCEPTION 'audit_log is append-only';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER audit_log_only_erases BEFORE UPDATE ON audit_log
  FOR EACH ROW EXECUTE FUNCTION audit_log_only_erases();
GRANT UPDATE (ip, before, after) ON audit_log TO CURRENT_USER;
