-- products/read_price: price and currency of the batch. A subquery in SET would lock the hot row here; this does not. No
-- row leaves the variables as they are: the batch then finds that there is no such product
SELECT price_minor, currency INTO @p, @c
FROM products
WHERE id = {product_id}
