-- A ticket type is never plain: an instance that remembers a plain product takes no units of a ticket type by it, and an older
-- version refuses to sell one that has no terms of its own. Made again, it is the same.
ALTER TABLE products
  DROP COLUMN plain,
  ADD COLUMN plain BOOLEAN GENERATED ALWAYS AS (
    status = 'on_sale' AND sale_starts_at IS NULL AND sale_ends_at IS NULL AND hold_ttl_seconds IS NULL
    AND order_ttl_seconds IS NULL AND max_qty IS NULL AND max_per_buyer IS NULL AND kind IS NULL
  ) VIRTUAL,
  ALGORITHM = INSTANT
