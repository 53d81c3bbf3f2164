-- How many due refunds a charge has or had: a refund settles them. An older version ignores the column, and its refunds leave them
-- open: replace all instances before the first event is cancelled.
ALTER TABLE charges
  ADD COLUMN due_refunds INT NOT NULL DEFAULT 0,
  ALGORITHM = INSTANT
