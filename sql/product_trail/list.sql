-- product_trail/list: a page of what happened to a product, the newest first; the caller asks for one row more than it shows
SELECT id, at, actor, action, from_values, to_values, reason
FROM product_trail FORCE INDEX (product_trail_product)
WHERE product_id = :product_id AND id < :before
ORDER BY id DESC
LIMIT :limit
