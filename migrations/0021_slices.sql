-- Streams whose output is held in slices as it flows, and which are ended when no further one fits; NULL: held as a whole.

ALTER TABLE limits
  ADD COLUMN slice_tokens integer CHECK (slice_tokens > 0);
