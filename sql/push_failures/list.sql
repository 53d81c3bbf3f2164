-- push_failures/list: one page of the events that an endpoint has not accepted, in the order of the feed
SELECT position, row_position, order_id, state, attempts, happened_at, next_at
FROM push_failures
WHERE endpoint_id = :endpoint_id AND position > :after
ORDER BY position
LIMIT :limit
