-- payment_events/list_refunds: these events as operators see them in a list, with the charges that they own
SELECT payment_events.id, payment_events.provider, payment_events.status, meaning, payment_events.order_id,
       payment_events.hold_id, txn_id, amount, payment_events.currency, deliveries, attempts, received_at,
       payment_events.settled_at, due_at, reason, expected, got,
       charges.event_id AS charge_event_id, charges.status AS charge_status, charges.order_id AS charge_order_id,
       charges.hold_id AS charge_hold_id, charges.amount_minor AS charge_amount_minor,
       charges.currency AS charge_currency, charges.refunded_minor AS charge_refunded_minor
FROM payment_events
LEFT JOIN charges ON charges.event_id = payment_events.id
LEFT JOIN payment_event_quarantines AS quarantines
  ON quarantines.event_id = payment_events.id AND quarantines.settled_at = payment_events.settled_at
WHERE payment_events.id IN ({ids})
