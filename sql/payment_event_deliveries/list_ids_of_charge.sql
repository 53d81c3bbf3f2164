-- payment_event_deliveries/list_ids_of_charge: the events that name this charge, except its owner; the rows of first
-- deliveries have its name for this
SELECT deliveries.event_id
FROM payment_event_deliveries AS deliveries FORCE INDEX (payment_event_deliveries_charge)
STRAIGHT_JOIN payment_events ON payment_events.id = deliveries.event_id
WHERE deliveries.txn_id = :charge AND deliveries.event_id BETWEEN :first AND :last
  AND (:provider IS NULL OR payment_events.provider = :provider)
  AND (:status IS NULL OR payment_events.status = :status)
  AND received_at >= :received_from AND received_at < :received_to
ORDER BY deliveries.event_id {direction}
LIMIT :limit
