-- payment_event_quarantines/insert: why an event of this transaction is quarantined; the latest reason replaces an earlier one
INSERT INTO payment_event_quarantines (event_id, settled_at, reason, expected, got)
SELECT id, settled_at, :reason, :expected, :got
FROM payment_events
WHERE id = :event_id
ON DUPLICATE KEY UPDATE settled_at = payment_events.settled_at, reason = :reason, expected = :expected, got = :got
