-- events/list_some: events with their organizers and ticket types, in one statement; for a type that has no unit left, when the first
-- one may come back
SELECT events.id AS of_event, events.organizer_id, organizers.name AS organizer, events.name AS of_name, events.venue,
       events.starts_at, events.sale_starts_at AS of_sale_starts_at, events.sale_ends_at AS of_sale_ends_at,
       events.max_per_buyer AS of_max_per_buyer, events.cancelled_at AS of_cancelled_at,
       products.id, products.sku, products.name, products.price_minor, products.currency, products.stock, products.available,
       products.status, products.sale_starts_at, products.sale_ends_at, products.hold_ttl_seconds, products.order_ttl_seconds,
       products.max_qty, products.max_per_buyer, products.max_hold_seconds, products.metadata, products.event_id, products.kind,
       products.event_sale_starts_at, products.event_sale_ends_at, products.event_max_per_buyer, products.cancelled_at,
       CASE WHEN products.available <= 0 AND products.reserved > 0 THEN
         (SELECT holds.returns_at FROM holds FORCE INDEX (holds_returning)
          WHERE holds.product_id = products.id AND holds.returns_at IS NOT NULL
          ORDER BY holds.returns_at LIMIT 1)
       END AS next_return_at,
       NOW(6) AS server_time
FROM events
LEFT JOIN organizers ON organizers.id = events.organizer_id
LEFT JOIN products FORCE INDEX (products_by_event)
  ON products.event_id = events.id AND products.kind IS NOT NULL AND products.status <> 'retired'
WHERE events.id IN ({ids})
