-- payment_events/list_due: what a worker looks at now: received events to be tried again, parked ones to be given up; each
-- along its index, so that a long queue is not sorted for every look
(SELECT id, status, attempts, due_at FROM payment_events
 WHERE status = 'received' AND due_at <= NOW(6)
 ORDER BY due_at
 LIMIT :limit)
UNION ALL
(SELECT id, status, attempts, due_at FROM payment_events
 WHERE status = 'parked' AND due_at <= NOW(6)
 ORDER BY due_at
 LIMIT :limit)
ORDER BY due_at
LIMIT :limit
