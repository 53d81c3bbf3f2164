-- The counters that have the units of this row: `counted_on` from the hold until the units are back on sale, `held_on` while the
-- hold is active. NULL: they are not counted. An older version takes holds that are not counted and gives units back without
-- their counters: replace all instances before a product gets a limit per buyer.
ALTER TABLE holds
  ADD COLUMN counted_on BINARY(16) NULL,
  ADD COLUMN held_on    BINARY(16) NULL,
  ALGORITHM = INSTANT
