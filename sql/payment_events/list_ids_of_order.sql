-- payment_events/list_ids_of_order: the events of one state that name this order; one state at a time, so that the index
-- gives the ids in order
SELECT id
FROM payment_events FORCE INDEX (payment_events_order)
WHERE order_id = :order_id AND status = :status AND id BETWEEN :first AND :last
  AND received_at >= :received_from AND received_at < :received_to
ORDER BY id {direction}
LIMIT :limit
