-- How many payment attempts failed while an order was pending. The guarded update that counts an attempt gives it its place
-- in the order's trail. A column at the end with a default is added without reading a row.
ALTER TABLE orders
  ADD COLUMN failed_attempts INT NOT NULL DEFAULT 0,
  ALGORITHM = INSTANT
