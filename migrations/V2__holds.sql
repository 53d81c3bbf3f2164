-- Held units, one row per hold and product. `expires_at` is the buyer's deadline and never changes; `returns_at` is when
-- unpaid units go back on sale: the same time while the hold is active, the order's `pay_by` once it is an order, NULL when
-- they are sold or already back. The price is the product's at the time of the hold.
CREATE TABLE IF NOT EXISTS holds (
  id               BINARY(16)  NOT NULL,
  product_id       BIGINT      NOT NULL,
  qty              INT         NOT NULL,
  unit_price_minor BIGINT      NOT NULL,
  currency         CHAR(3)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  status           ENUM('active', 'ordered', 'released', 'expired') CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'active',
  created_at       DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  expires_at       DATETIME(6) NOT NULL,
  returns_at       DATETIME(6) NULL,
  PRIMARY KEY (id, product_id),
  KEY holds_due (status, returns_at),
  KEY holds_returning (product_id, returns_at),
  CONSTRAINT holds_qty CHECK (qty > 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
