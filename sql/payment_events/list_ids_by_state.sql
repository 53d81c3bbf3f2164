-- payment_events/list_ids_by_state: events of one state, along its index; the range of ids narrows them to a time
-- reads more while purge waits: the first page that an operator requests begins at the oldest event of the state
SELECT id
FROM payment_events FORCE INDEX (payment_events_status)
WHERE status = :status AND id BETWEEN :first AND :last AND received_at >= :received_from AND received_at < :received_to
ORDER BY id {direction}
LIMIT :limit
