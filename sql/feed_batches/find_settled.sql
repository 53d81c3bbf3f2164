-- feed_batches/find_settled: the last row that is older than any transaction
SELECT id
FROM feed_batches FORCE INDEX (PRIMARY)
WHERE created_at < NOW(6) - INTERVAL :seconds SECOND
ORDER BY id DESC
LIMIT 1
