-- The limit per buyer that a ticket type has of its event. An older version takes units of such a type without counting them:
-- replace all instances before the first event with a limit.
ALTER TABLE products
  ADD COLUMN event_max_per_buyer INT NULL,
  ALGORITHM = INSTANT
