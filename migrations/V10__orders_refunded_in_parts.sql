-- How much of an order's charge was given back, and whether its units went back on sale with it.
ALTER TABLE orders
  ADD COLUMN refunded_minor BIGINT  NOT NULL DEFAULT 0,
  ADD COLUMN restocked      BOOLEAN NOT NULL DEFAULT FALSE
