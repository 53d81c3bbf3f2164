-- products/take_all_tickets: as products/take_all_on_terms, for products of which some are ticket types: the terms that these have
-- of their events are compared, too, and the sales of the events are on
UPDATE products FORCE INDEX (PRIMARY)
SET reserved = reserved + CASE id {units} END
WHERE id IN ({ids}) AND available >= CASE id {units} END AND price_minor <=> CASE id {price_minor} END
  AND currency <=> CASE id {currency} END AND status <=> CASE id {status} END
  AND sale_starts_at <=> CAST(CASE id {sale_starts_at} END AS DATETIME(6))
  AND sale_ends_at <=> CAST(CASE id {sale_ends_at} END AS DATETIME(6))
  AND hold_ttl_seconds <=> CASE id {hold_ttl_seconds} END AND order_ttl_seconds <=> CASE id {order_ttl_seconds} END
  AND max_qty <=> CASE id {max_qty} END AND max_per_buyer <=> CASE id {max_per_buyer} END
  AND kind <=> CASE id {kind} END
  AND event_sale_starts_at <=> CAST(CASE id {event_sale_starts_at} END AS DATETIME(6))
  AND event_sale_ends_at <=> CAST(CASE id {event_sale_ends_at} END AS DATETIME(6))
  AND event_max_per_buyer <=> CASE id {event_max_per_buyer} END
  AND status = 'on_sale' AND COALESCE(sale_starts_at <= NOW(6), TRUE) AND COALESCE(sale_ends_at > NOW(6), TRUE)
  AND COALESCE(event_sale_starts_at <= NOW(6), TRUE) AND COALESCE(event_sale_ends_at > NOW(6), TRUE) AND cancelled_at IS NULL
