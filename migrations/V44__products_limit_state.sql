-- Whether the units that were out when a product got its limit per buyer are counted: `counting` while a worker counts them,
-- up to the hold `limit_counted_to`, then `enforced`. NULL: there is no limit, or no worker has seen it.
ALTER TABLE products
  ADD COLUMN limit_state      ENUM('counting', 'enforced') CHARACTER SET ascii COLLATE ascii_bin NULL,
  ADD COLUMN limit_counted_to BINARY(16) NULL,
  ALGORITHM = INSTANT
