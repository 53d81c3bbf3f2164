-- A change of stock, and an extension of a hold or an order, may have a key. An older version makes none, and ignores these rows.
ALTER TABLE idempotency_keys
  MODIFY COLUMN operation ENUM('hold', 'order', 'stock', 'extend') CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  ALGORITHM = INSTANT
