-- products/find_limit: the limit per buyer of a product, and how far its units are counted
SELECT max_per_buyer, limit_state, limit_counted_to
FROM products
WHERE id = :product_id
