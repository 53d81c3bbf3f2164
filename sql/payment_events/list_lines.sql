-- payment_events/list_lines: these events as operators see them in a list
SELECT id, provider, status, meaning, order_id, hold_id, txn_id, amount, currency, deliveries, attempts, received_at,
       payment_events.settled_at, due_at, reason, expected, got
FROM payment_events
LEFT JOIN payment_event_quarantines AS quarantines
  ON quarantines.event_id = payment_events.id AND quarantines.settled_at = payment_events.settled_at
WHERE id IN ({ids})
