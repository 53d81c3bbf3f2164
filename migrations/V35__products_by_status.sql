-- A page of the list skips retired products, however many there are: it is read by status and id. Holds do not change this
-- index.
ALTER TABLE products
  ADD KEY products_by_status (status),
  ALGORITHM = INPLACE, LOCK = NONE
