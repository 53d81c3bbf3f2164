-- feed_products/list_page: as feed_products/list_some, for the next products by id: changes by another hand, and those of an instance
-- that has ended, are found by a walk
SELECT products.id, products.available <= 0 AS is_sold_out, COALESCE(feed_products.sold_out, FALSE) AS was_sold_out,
  products.status <> 'retired' AND products.cancelled_at IS NULL AS is_sold
FROM products FORCE INDEX (PRIMARY)
LEFT JOIN feed_products ON feed_products.product_id = products.id
WHERE products.id > :after
ORDER BY products.id
LIMIT :limit
