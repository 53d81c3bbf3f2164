-- payment_events/count_open: the inbox by state, as far as somebody may have to do something about it
SELECT status, COUNT(id), CAST(COALESCE(TIMESTAMPDIFF(MICROSECOND, MIN(received_at), NOW(6)), 0) AS SIGNED) AS oldest_us
FROM payment_events
WHERE status IN ('received', 'parked', 'quarantined', 'refund_due', 'dead')
GROUP BY status
