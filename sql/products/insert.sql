-- products/insert: a seeded product, unless its id exists already
INSERT INTO products (id, name, price_minor, currency, stock)
VALUES (:product_id, :name, :price_minor, :currency, :stock)
ON DUPLICATE KEY UPDATE id = id
