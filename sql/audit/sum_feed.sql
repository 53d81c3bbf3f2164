-- audit/sum_feed: a page of the feed: transitions that it tells, events that have positions, the last position, and how many rows do not
-- follow another one
SELECT CAST(COALESCE(SUM(feed_batches.transitions), 0) AS SIGNED),
       CAST(COALESCE(SUM(IF(feed_batches.position IS NULL, 0, feed_batches.items)), 0) AS SIGNED),
       COALESCE(MAX(feed_batches.position), 0),
       CAST(COALESCE(SUM(feed_batches.position > feed_batches.items AND earlier.id IS NULL), 0) AS SIGNED)
FROM feed_batches FORCE INDEX (PRIMARY)
LEFT JOIN feed_batches AS earlier FORCE INDEX (feed_batches_position)
  ON earlier.position = COALESCE(feed_batches.position, 0) - feed_batches.items
WHERE feed_batches.id BETWEEN :first AND :last
