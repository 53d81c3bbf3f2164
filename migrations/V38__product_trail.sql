-- What happened to a product: one row per change, written with it. Values are JSON objects of the fields that changed. Rows of
-- one request share its `change_id`: a repeated attempt finds by it what a COMMIT without an answer did, and waits for one that
-- is still under way.
CREATE TABLE IF NOT EXISTS product_trail (
  id          BIGINT         NOT NULL AUTO_INCREMENT,
  product_id  BIGINT         NOT NULL,
  change_id   BINARY(16)     NOT NULL,
  place       INT            NOT NULL,
  at          DATETIME(6)    NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  actor       VARBINARY(255) NOT NULL,
  action      ENUM('created', 'changed', 'stock') CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  from_values MEDIUMBLOB     NULL,
  to_values   MEDIUMBLOB     NOT NULL,
  reason      VARBINARY(512) NULL,
  PRIMARY KEY (id),
  KEY product_trail_product (product_id, id),
  UNIQUE KEY product_trail_change (change_id, place)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
