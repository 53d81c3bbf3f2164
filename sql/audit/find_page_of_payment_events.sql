-- audit/find_page_of_payment_events: where the next page of the inbox ends, and how many it has
SELECT COUNT(id), MAX(id)
FROM (SELECT id FROM payment_events WHERE id >= :first ORDER BY id LIMIT :limit) AS page
