-- feed_batches/list_places_of_client: as feed_batches/list_places, for one client or audience
SELECT position, items
FROM feed_batches FORCE INDEX (feed_batches_client)
WHERE client_id = :client_id AND position > :after AND position <= :safe
ORDER BY position
LIMIT :limit
