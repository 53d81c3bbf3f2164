-- payment_events/list_due: what a worker looks at now: received events to be tried again, parked ones to be given up
SELECT id, status, attempts FROM payment_events
WHERE status IN ('received', 'parked') AND due_at <= NOW(6)
ORDER BY due_at
LIMIT :limit
