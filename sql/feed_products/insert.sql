-- feed_products/insert: products of which nothing was told yet; those that have a row keep it
INSERT INTO feed_products (product_id, sold_out)
VALUES {rows}
ON DUPLICATE KEY UPDATE product_id = feed_products.product_id
