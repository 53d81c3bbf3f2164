-- Raised when units of an order are counted later: so the order keeps its state until they are.
ALTER TABLE orders
  ADD COLUMN recounts INT NOT NULL DEFAULT 0,
  ALGORITHM = INSTANT
