-- Until how long after it was made a hold or an order of this product can be extended; NULL: as long as the shop says. No hold is
-- taken by it, so it is not a part of `plain`.
ALTER TABLE products
  ADD COLUMN max_hold_seconds INT NULL,
  ALGORITHM = INSTANT
