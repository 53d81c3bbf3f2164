-- How often the units or the deadline of a hold were changed since it was taken; every row of a hold counts alike. An order
-- compares it with what its total was computed from. From here on, `expires_at` (V2, V13) may move to a later time while the hold
-- is active, and `returns_at` with it, and `qty` may become smaller. An older version ignores that: it orders a hold by the
-- quantities that it has read before, and ends a hold whose deadline was moved since. Replace all instances before the first
-- `PATCH` of a hold and the first `extend`.
ALTER TABLE holds
  ADD COLUMN changes INT NOT NULL DEFAULT 0,
  ALGORITHM = INSTANT
