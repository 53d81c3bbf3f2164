-- products/take_ticket: as products/take_on_terms, for a ticket type: the terms that it has of its event are compared, too, and
-- the event's sale is on
UPDATE products
SET reserved = reserved + {qty}
WHERE id = {product_id} AND available >= {qty} AND price_minor <=> {price_minor} AND currency <=> {currency}
  AND status <=> {status} AND sale_starts_at <=> {sale_starts_at} AND sale_ends_at <=> {sale_ends_at}
  AND hold_ttl_seconds <=> {hold_ttl_seconds} AND order_ttl_seconds <=> {order_ttl_seconds}
  AND max_qty <=> {max_qty} AND max_per_buyer <=> {max_per_buyer}
  AND kind <=> {kind} AND event_sale_starts_at <=> {event_sale_starts_at} AND event_sale_ends_at <=> {event_sale_ends_at}
  AND event_max_per_buyer <=> {event_max_per_buyer}
  AND status = 'on_sale' AND COALESCE(sale_starts_at <= NOW(6), TRUE) AND COALESCE(sale_ends_at > NOW(6), TRUE)
  AND COALESCE(event_sale_starts_at <= NOW(6), TRUE) AND COALESCE(event_sale_ends_at > NOW(6), TRUE) AND cancelled_at IS NULL
