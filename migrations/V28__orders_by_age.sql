-- Lists of orders, the newest first, of one state or of all: one range per state.
ALTER TABLE orders
  ADD KEY orders_age (status, created_at),
  ALGORITHM = INPLACE, LOCK = NONE
