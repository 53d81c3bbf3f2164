-- Whether the payment of an order is disputed, which the gate is told with its tickets. NULL is no, as of orders that an older version
-- makes.
ALTER TABLE orders
  ADD COLUMN disputed BOOLEAN NULL,
  ALGORITHM = INSTANT
