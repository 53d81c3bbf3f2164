-- What a product sells by, beside its price. NULL is the rule of the shop, or no rule. An older version inserts products
-- without these columns and ignores them: replace all instances before a product gets terms of its own.
ALTER TABLE products
  ADD COLUMN sku               VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  ADD COLUMN status            ENUM('on_sale', 'paused', 'retired') CHARACTER SET ascii COLLATE ascii_bin
                               NOT NULL DEFAULT 'on_sale',
  ADD COLUMN sale_starts_at    DATETIME(6) NULL,
  ADD COLUMN sale_ends_at      DATETIME(6) NULL,
  ADD COLUMN hold_ttl_seconds  INT         NULL,
  ADD COLUMN order_ttl_seconds INT         NULL,
  ADD COLUMN max_qty           INT         NULL,
  ADD COLUMN max_per_buyer     INT         NULL,
  ADD COLUMN metadata          TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  ALGORITHM = INSTANT
