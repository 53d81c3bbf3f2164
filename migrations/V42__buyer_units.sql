-- How many units one buyer has of one product, and how many units a caller has in active holds: one row per counter. `id` is
-- half of the digest of what is counted, and for which buyer or caller. A row stays when its units are back: the next hold finds it.
CREATE TABLE IF NOT EXISTS buyer_units (
  id    BINARY(16) NOT NULL,
  units BIGINT     NOT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
