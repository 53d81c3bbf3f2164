-- audit/push_failure_wrong: what an endpoint has not accepted is in the feed, and its cursor has passed it
SELECT push_failures.endpoint_id, CONCAT('it waits for the event at ', push_failures.position,
  IF(feed_batches.id IS NULL, ', which is not in the feed', ', which its cursor has not passed'))
FROM push_failures
LEFT JOIN feed_batches FORCE INDEX (feed_batches_position)
  ON feed_batches.position = push_failures.row_position
  AND push_failures.position BETWEEN feed_batches.position - feed_batches.items + 1 AND feed_batches.position
LEFT JOIN push_cursors ON push_cursors.endpoint_id = push_failures.endpoint_id
LEFT JOIN feed ON feed.id = 1 AND feed.epoch = push_cursors.epoch
WHERE push_failures.endpoint_id BETWEEN :first AND :last
  AND (feed_batches.id IS NULL OR (feed.id IS NOT NULL AND push_failures.position > push_cursors.position))
