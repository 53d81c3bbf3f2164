-- An operator took units for a buyer beyond the limit of the product.
ALTER TABLE product_trail
  MODIFY COLUMN action ENUM('created', 'changed', 'stock', 'limit_passed') CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  ALGORITHM = INSTANT
