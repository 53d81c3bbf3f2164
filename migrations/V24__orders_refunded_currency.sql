-- The currency of `refunded_minor` where it is not the order's: an operator accepted a charge in another currency.
ALTER TABLE orders
  ADD COLUMN refunded_currency CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NULL,
  ALGORITHM = INSTANT
