-- A ticket type is a product with a `kind`. It has copies of its event's sale window and cancellation, so that the guard of a hold
-- compares them in one row. An older version inserts products without these columns and ignores them: replace all instances before
-- the first ticket type is made.
ALTER TABLE products
  ADD COLUMN event_id             BIGINT      NULL,
  ADD COLUMN kind                 ENUM('admission', 'seated') CHARACTER SET ascii COLLATE ascii_bin NULL,
  ADD COLUMN event_sale_starts_at DATETIME(6) NULL,
  ADD COLUMN event_sale_ends_at   DATETIME(6) NULL,
  ADD COLUMN cancelled_at         DATETIME(6) NULL,
  ALGORITHM = INSTANT
