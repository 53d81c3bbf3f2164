-- How long an order of this hold may stay unpaid, as its product said when the hold was taken; NULL: the shop's order time.
ALTER TABLE holds
  ADD COLUMN order_ttl_seconds INT NULL,
  ALGORITHM = INSTANT
