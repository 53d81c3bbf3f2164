-- The client of an order, 0 for an anonymous caller, so that what changes an order knows whose feed tells of it. NULL: an older
-- version made the order, and its owner's row says whose it is.
ALTER TABLE orders
  ADD COLUMN client_id BIGINT NULL,
  ALGORITHM = INSTANT
