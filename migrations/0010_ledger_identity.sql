-- Which ledger this is: a restored or moved one is another, so that counters kept elsewhere are filled anew from it.

CREATE TABLE ledger_identity (
  only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  -- Made with the tables: a restore makes those anew.
  id          uuid NOT NULL DEFAULT gen_random_uuid(),
  -- When the rows came from a backup or another database; NULL where they were all written here.
  restored_at timestamptz
);
INSERT INTO ledger_identity DEFAULT VALUES;
