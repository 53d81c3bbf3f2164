-- feed_products/turn: notes the present state of those of these products that have another one than was told last, unless something
-- was told of them within the second before. The row stays locked until the event is committed; the product is not locked. A time
-- that lies ahead of the clock by more than a second was written before the clock was set back
UPDATE feed_products
SET sold_out = NOT sold_out, told_at = NOW(6), batch = {batch}
WHERE product_id IN ({ids})
  AND COALESCE(told_at NOT BETWEEN NOW(6) - INTERVAL 1 SECOND AND NOW(6) + INTERVAL 1 SECOND, TRUE)
  AND sold_out <> (
    SELECT products.available <= 0
    FROM products
    WHERE products.id = feed_products.product_id AND products.status <> 'retired' AND products.cancelled_at IS NULL
  )
