-- products/list_of_event: the ticket types of an event, the retired ones, too
SELECT id
FROM products FORCE INDEX (products_by_event)
WHERE event_id = :event_id AND kind IS NOT NULL
ORDER BY id
