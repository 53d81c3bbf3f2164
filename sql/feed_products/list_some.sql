-- feed_products/list_some: whether all units of these products are gone, and what the feed told last of each. A product that is not
-- sold any more is not told
SELECT products.id, products.available <= 0 AS is_sold_out, COALESCE(feed_products.sold_out, FALSE) AS was_sold_out,
  products.status <> 'retired' AND products.cancelled_at IS NULL AS is_sold
FROM products
LEFT JOIN feed_products ON feed_products.product_id = products.id
WHERE products.id IN ({ids})
ORDER BY products.id
