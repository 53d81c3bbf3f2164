-- A change of stock may have a key.
ALTER TABLE idempotency_keys
  MODIFY COLUMN operation ENUM('hold', 'order', 'stock') CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  ALGORITHM = INSTANT
