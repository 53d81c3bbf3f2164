-- Two products never have the same sku; products without one do not count.
ALTER TABLE products
  ADD UNIQUE KEY products_sku (sku),
  ALGORITHM = INPLACE, LOCK = NONE
