-- products/insert: the seeded product, where there is none under this id
INSERT INTO products (id, name, price_minor, currency, stock)
VALUES (:product_id, :name, :price_minor, :currency, :stock)
ON DUPLICATE KEY UPDATE id = id
