-- feed_batches/find_last: the last id behind this one, and how many rows there are up to it
SELECT MAX(id) AS last, COUNT(id) AS ids
FROM feed_batches FORCE INDEX (PRIMARY)
WHERE id > {low}
