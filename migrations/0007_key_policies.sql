-- What a key may do beyond its models: which endpoints, from which addresses, and what one call may take at most.

ALTER TABLE virtual_keys
  -- Globs over endpoint names; NULL: every endpoint.
  ADD COLUMN allowed_endpoints text[],
  -- Addresses and CIDR ranges; NULL: from everywhere.
  ADD COLUMN ip_allow          text[],
  -- Whether routes that nobody here can meter may be used.
  ADD COLUMN unmetered         text NOT NULL DEFAULT 'deny' CHECK (unmetered IN ('allow', 'deny')),
  -- Whether the header x-tallygate-user may name the user of a call, where the key is bound to none.
  ADD COLUMN attribute_users   boolean NOT NULL DEFAULT false,
  -- Caps on one call; NULL: none. The smaller of the key's and its project's counts.
  ADD COLUMN max_output_tokens bigint CHECK (max_output_tokens > 0),
  ADD COLUMN max_input_tokens  bigint CHECK (max_input_tokens > 0),
  ADD COLUMN max_cost_nanos    numeric(30, 0) CHECK (max_cost_nanos >= 0),
  -- Whether a call that asks for more output is given less, or refused.
  ADD COLUMN cap_policy        text NOT NULL DEFAULT 'clamp' CHECK (cap_policy IN ('clamp', 'deny'));

ALTER TABLE projects
  ADD COLUMN max_output_tokens bigint CHECK (max_output_tokens > 0),
  ADD COLUMN max_input_tokens  bigint CHECK (max_input_tokens > 0),
  ADD COLUMN max_cost_nanos    numeric(30, 0) CHECK (max_cost_nanos >= 0),
  ADD COLUMN cap_policy        text NOT NULL DEFAULT 'clamp' CHECK (cap_policy IN ('clamp', 'deny'));
