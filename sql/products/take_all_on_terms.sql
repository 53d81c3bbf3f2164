-- products/take_all_on_terms: as products/take_all, for products of which some have more terms than their price, or are ticket types,
-- which have some of their events: all of them are compared, and each sale is on
UPDATE products FORCE INDEX (PRIMARY)
SET reserved = reserved + {units}
WHERE id IN ({ids}) AND available >= {units} AND price_minor <=> {price_minor}
  AND currency <=> {currency} AND status <=> {status}
  AND sale_starts_at <=> CAST({sale_starts_at} AS DATETIME(6))
  AND sale_ends_at <=> CAST({sale_ends_at} AS DATETIME(6))
  AND hold_ttl_seconds <=> {hold_ttl_seconds} AND order_ttl_seconds <=> {order_ttl_seconds}
  AND max_qty <=> {max_qty} AND max_per_buyer <=> {max_per_buyer}
  AND kind <=> {kind}
  AND event_sale_starts_at <=> CAST({event_sale_starts_at} AS DATETIME(6))
  AND event_sale_ends_at <=> CAST({event_sale_ends_at} AS DATETIME(6))
  AND event_max_per_buyer <=> {event_max_per_buyer}
  AND status = 'on_sale' AND COALESCE(sale_starts_at <= NOW(6), TRUE) AND COALESCE(sale_ends_at > NOW(6), TRUE)
  AND COALESCE(event_sale_starts_at <= NOW(6), TRUE) AND COALESCE(event_sale_ends_at > NOW(6), TRUE) AND cancelled_at IS NULL
