-- Whether some units of an order are seats: the payment marks them sold. NULL is no, as of orders that an older version makes.
ALTER TABLE orders
  ADD COLUMN seats BOOLEAN NULL,
  ALGORITHM = INSTANT
