-- payment_events/find_next_due: how long until a worker has to look again; negative when it should have
SELECT TIMESTAMPDIFF(MICROSECOND, NOW(6), MIN(due_at)) FROM (
  SELECT MIN(due_at) AS due_at FROM payment_events WHERE status = 'received'
  UNION ALL
  SELECT MIN(due_at) AS due_at FROM payment_events WHERE status = 'parked'
) AS next_due
