-- feed_batches/list_places: the next rows of the feed of all clients, and how many events each has
SELECT position, items
FROM feed_batches FORCE INDEX (feed_batches_position)
WHERE position > :after AND position <= :safe
ORDER BY position
LIMIT :limit
