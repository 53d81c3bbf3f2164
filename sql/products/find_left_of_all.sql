-- products/find_left_of_all: what a batch of carts left of their products, and when its holds were taken, from one of their rows
SELECT products.id, products.available, holds.created_at
FROM products
LEFT JOIN holds ON holds.id = {hold_id} AND holds.product_id = {product_id}
WHERE products.id IN ({ids})
