-- audit/find_page_of_order_events: where the next page of transitions ends, and how many it has
SELECT COUNT(id), MAX(id)
FROM (SELECT id FROM order_events WHERE id >= :first ORDER BY id LIMIT :limit) AS page
