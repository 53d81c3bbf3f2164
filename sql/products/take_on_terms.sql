-- products/take_on_terms: as products/take, for a product with more terms than its price: all of them are compared, and the
-- sale is on
UPDATE products
SET reserved = reserved + {qty}
WHERE id = {product_id} AND available >= {qty} AND price_minor <=> {price_minor} AND currency <=> {currency}
  AND status <=> {status} AND sale_starts_at <=> {sale_starts_at} AND sale_ends_at <=> {sale_ends_at}
  AND hold_ttl_seconds <=> {hold_ttl_seconds} AND order_ttl_seconds <=> {order_ttl_seconds}
  AND max_qty <=> {max_qty} AND max_per_buyer <=> {max_per_buyer} AND kind IS NULL
  AND status = 'on_sale' AND COALESCE(sale_starts_at <= NOW(6), TRUE) AND COALESCE(sale_ends_at > NOW(6), TRUE)
