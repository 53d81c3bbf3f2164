-- Finds the products whose units have to be counted. Holds do not change this index.
ALTER TABLE products
  ADD KEY products_by_limit (limit_state, max_per_buyer),
  ALGORITHM = INPLACE, LOCK = NONE
