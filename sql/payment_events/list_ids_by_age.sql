-- payment_events/list_ids_by_age: events of all states; the range of ids narrows them to a time
SELECT id
FROM payment_events FORCE INDEX (PRIMARY)
WHERE id BETWEEN :first AND :last AND received_at >= :received_from AND received_at < :received_to
ORDER BY id {direction}
LIMIT :limit
