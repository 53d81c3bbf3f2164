-- feed_batches/list_stragglers: rows without a position, however old; the worker rests in proportion to the time that this took
-- reads more while purge waits: the entries of all rows that got their positions stand before those that have none
SELECT id, items, TIMESTAMPDIFF(MICROSECOND, created_at, NOW(6)) AS waited_us
FROM feed_batches FORCE INDEX (feed_batches_position)
WHERE position IS NULL
ORDER BY id
LIMIT :limit
