-- What the feed told last of a product: whether all of its units were gone (`sold_out`), and when. A product without a row was never
-- told, and counts as one that has units; so does a row without `told_at`. `batch` is the telling that wrote the row. A table beside
-- `products`, whose rows are hot.
CREATE TABLE IF NOT EXISTS feed_products (
  product_id BIGINT      NOT NULL,
  sold_out   BOOLEAN     NOT NULL DEFAULT FALSE,
  told_at    DATETIME(6) NULL,
  batch      BINARY(16)  NULL,
  PRIMARY KEY (product_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
