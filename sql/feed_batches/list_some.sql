-- feed_batches/list_some: the rows at these positions
SELECT position, items, created_at, batch, events
FROM feed_batches FORCE INDEX (feed_batches_position)
WHERE position IN ({positions})
ORDER BY position
