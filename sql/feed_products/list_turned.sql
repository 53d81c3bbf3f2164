-- feed_products/list_turned: those of these products that a telling has noted, with what it has to tell
SELECT product_id, sold_out
FROM feed_products
WHERE product_id IN ({ids}) AND batch = {batch}
ORDER BY product_id
