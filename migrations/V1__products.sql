-- Products. `stock` is how many units were put on sale, `reserved` how many of them are held or sold: both signed, so that
-- the CHECK and not a clamped unsigned column refuses a mistake. The bound on the price keeps every total within a BIGINT.
CREATE TABLE IF NOT EXISTS products (
  id          BIGINT       NOT NULL AUTO_INCREMENT,
  name        VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci NOT NULL,
  price_minor BIGINT       NOT NULL,
  currency    CHAR(3)      CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  stock       BIGINT       NOT NULL,
  reserved    BIGINT       NOT NULL DEFAULT 0,
  available   BIGINT       GENERATED ALWAYS AS (stock - reserved) VIRTUAL,
  created_at  DATETIME(6)  NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (id),
  CONSTRAINT products_never_oversold CHECK (reserved BETWEEN 0 AND stock),
  CONSTRAINT products_price CHECK (price_minor BETWEEN 0 AND 100000000000000)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
