-- Whether a product has no terms but its price. It is computed from the terms themselves, so that the guard of a plain hold
-- compares all of them in one word.
ALTER TABLE products
  ADD COLUMN plain BOOLEAN GENERATED ALWAYS AS (
    status = 'on_sale' AND sale_starts_at IS NULL AND sale_ends_at IS NULL AND hold_ttl_seconds IS NULL
    AND order_ttl_seconds IS NULL AND max_qty IS NULL AND max_per_buyer IS NULL
  ) VIRTUAL,
  ALGORITHM = INSTANT
