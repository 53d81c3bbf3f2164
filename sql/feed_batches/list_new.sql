-- feed_batches/list_new: committed rows without a position behind an id, in the order in which they get theirs. The key on position would
-- walk the entries of all rows that got theirs since the oldest open snapshot
SELECT id, items, TIMESTAMPDIFF(MICROSECOND, created_at, NOW(6)) AS waited_us
FROM feed_batches FORCE INDEX (PRIMARY)
WHERE id > {low} AND position IS NULL
ORDER BY id
LIMIT {limit}
