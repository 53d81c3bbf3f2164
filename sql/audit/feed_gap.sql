-- audit/feed_gap: the first event of a row of the feed follows the last one of another row
SELECT feed_batches.position, CONCAT(feed_batches.items, ' events end here, and none ends before them')
FROM feed_batches FORCE INDEX (PRIMARY)
LEFT JOIN feed_batches AS earlier FORCE INDEX (feed_batches_position)
  ON earlier.position = COALESCE(feed_batches.position, 0) - feed_batches.items
WHERE feed_batches.id BETWEEN :first AND :last AND feed_batches.position > feed_batches.items AND earlier.id IS NULL
