-- products/change: other details of a product, if they are still those that the change was made from; names are compared byte by
-- byte, since the column's collation takes `a` for `A`. With the first limit per buyer, units that are out have to be counted
UPDATE products
SET sku = {sku}, name = {name}, price_minor = {price_minor}, currency = {currency}, status = {status},
    sale_starts_at = {sale_starts_at}, sale_ends_at = {sale_ends_at}, hold_ttl_seconds = {hold_ttl_seconds},
    order_ttl_seconds = {order_ttl_seconds}, max_qty = {max_qty},
    max_hold_seconds = {max_hold_seconds}, metadata = {metadata},
    limit_state = CASE WHEN {max_per_buyer} IS NULL THEN NULL WHEN max_per_buyer IS NULL THEN 'counting' ELSE limit_state END,
    limit_counted_to = CASE WHEN {max_per_buyer} IS NULL THEN NULL WHEN max_per_buyer IS NULL THEN {count_begins} ELSE limit_counted_to END,
    max_per_buyer = {max_per_buyer}
WHERE id = {product_id} AND sku <=> {old_sku} AND CAST(name AS BINARY) <=> {old_name} AND price_minor <=> {old_price_minor}
  AND currency <=> {old_currency} AND status <=> {old_status} AND sale_starts_at <=> {old_sale_starts_at}
  AND sale_ends_at <=> {old_sale_ends_at} AND hold_ttl_seconds <=> {old_hold_ttl_seconds}
  AND order_ttl_seconds <=> {old_order_ttl_seconds} AND max_qty <=> {old_max_qty}
  AND max_per_buyer <=> {old_max_per_buyer} AND max_hold_seconds <=> {old_max_hold_seconds} AND metadata <=> {old_metadata}
