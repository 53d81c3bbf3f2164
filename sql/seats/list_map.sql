-- seats/list_map: the seats of all ticket types of an event, in one statement; no row means that there is no such event
SELECT products.id, seats.section, seats.row_name, seats.label, seats.row_n, seats.place, seats.row_rank,
       seats.hold_id IS NOT NULL AS is_held, seats.sold
FROM events
LEFT JOIN products FORCE INDEX (products_by_event)
  ON products.event_id = events.id AND products.kind = 'seated' AND products.status <> 'retired'
LEFT JOIN seats FORCE INDEX (PRIMARY) ON seats.product_id = products.id
WHERE events.id = :event_id
