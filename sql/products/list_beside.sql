-- products/list_beside: the ticket types whose units count on the same limit per buyer of an event as those of these products
SELECT DISTINCT others.id
FROM products
JOIN products AS others FORCE INDEX (products_by_event) ON others.event_id = products.event_id AND others.kind IS NOT NULL
WHERE products.id IN ({ids}) AND products.event_max_per_buyer IS NOT NULL
