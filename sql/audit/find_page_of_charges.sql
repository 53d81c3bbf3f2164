-- audit/find_page_of_charges: where the next page of charges ends, by the events that own them, and how many it has
SELECT COUNT(event_id), MAX(event_id)
FROM (SELECT event_id FROM charges WHERE event_id >= :first ORDER BY event_id LIMIT :limit) AS page
