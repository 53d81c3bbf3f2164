-- events/list_page_of_organizer: as events/list_page, of one organizer
-- reads up to 6 rows for each on MariaDB: an event is read from its index and from the page, with its organizer and its ticket types
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
FROM (
  SELECT id, organizer_id, name, venue, starts_at, sale_starts_at, sale_ends_at, max_per_buyer, cancelled_at
  FROM events FORCE INDEX (events_of_organizer)
  WHERE organizer_id = :organizer_id AND starts_at >= :at AND starts_at < :to AND (starts_at > :at OR id > :id)
  ORDER BY starts_at, id
  LIMIT :limit
) AS events
LEFT JOIN organizers ON organizers.id = events.organizer_id
LEFT JOIN products FORCE INDEX (products_by_event)
  ON products.event_id = events.id AND products.kind IS NOT NULL AND products.status <> 'retired'
