-- payment_events/find_all: all columns of an event, with its quarantine and the operator who dismissed it
SELECT id, provider, status, meaning, order_id, hold_id, txn_id, amount, currency, deliveries, attempts, received_at,
       payment_events.settled_at, due_at, idempotency_key, restock, cumulative, accepted_amount, provider_timestamp, source,
       correlation_id, headers, body, attempted_at, processing_us, reason, expected, got, dismissed_at, dismissal, operator
FROM payment_events
LEFT JOIN payment_event_quarantines AS quarantines
  ON quarantines.event_id = payment_events.id AND quarantines.settled_at = payment_events.settled_at
LEFT JOIN payment_event_operators AS operators ON operators.event_id = payment_events.id AND operators.trail_id = 0
WHERE id = :event_id
