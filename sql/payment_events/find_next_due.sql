-- payment_events/find_next_due: microseconds until the next event is due, of those due after `from` and within a second: a
-- worker sleeps no longer. Negative when one is due already
SELECT TIMESTAMPDIFF(MICROSECOND, NOW(6), MIN(due_at)) FROM (
  (SELECT due_at FROM payment_events FORCE INDEX (payment_events_due)
   WHERE status = 'received' AND due_at > :from AND due_at <= NOW(6) + INTERVAL 1 SECOND
   ORDER BY due_at
   LIMIT 1)
  UNION ALL
  (SELECT due_at FROM payment_events FORCE INDEX (payment_events_due)
   WHERE status = 'parked' AND due_at > :from AND due_at <= NOW(6) + INTERVAL 1 SECOND
   ORDER BY due_at
   LIMIT 1)
) AS next_due
