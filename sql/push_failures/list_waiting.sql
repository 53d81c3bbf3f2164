-- push_failures/list_waiting: events that wait to be pushed again, in the order of the feed
SELECT position, row_position, order_id, attempts, happened_at, next_at <= NOW(6) AS is_due,
  TIMESTAMPDIFF(MICROSECOND, NOW(6), next_at) AS due_us
FROM push_failures
WHERE endpoint_id = :endpoint_id AND state = 'waiting'
ORDER BY position
LIMIT :limit
