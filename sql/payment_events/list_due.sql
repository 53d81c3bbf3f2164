-- payment_events/list_due: the events that are due, from a time on: received ones to be tried again, parked ones to be given
-- up; each state along its index and in a page of its own, so that neither delays the other. The statement returns the clock
-- even when nothing is due
-- reads up to 8 rows for each: an event passes the UNION of both states, is sorted, and passes the derived table
-- reads more while purge waits: only a first read and the walk for stragglers begin at the oldest deadline, and that walk rests
SELECT clock.now, due.id, due.meaning, due.status, due.attempts
FROM (SELECT NOW(6) AS now) AS clock
LEFT JOIN (
  (SELECT id, meaning, status, attempts, due_at FROM payment_events FORCE INDEX (payment_events_due)
   WHERE status = 'received' AND due_at > :from AND due_at <= NOW(6) - INTERVAL :age SECOND
   ORDER BY due_at
   LIMIT :limit)
  UNION ALL
  (SELECT id, meaning, status, attempts, due_at FROM payment_events FORCE INDEX (payment_events_due)
   WHERE status = 'parked' AND due_at > :from AND due_at <= NOW(6) - INTERVAL :age SECOND
   ORDER BY due_at
   LIMIT :limit)
) AS due ON TRUE
