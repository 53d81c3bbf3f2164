-- audit/event_settled_wrongly: an event has the time of its outcome exactly when it has an outcome
SELECT id, CONCAT('a payment event that is ', status, IF(settled_at IS NULL, ' has no time of its outcome',
                  CONCAT(' got its outcome at ', settled_at)))
FROM payment_events
WHERE id BETWEEN :first AND :last AND (settled_at IS NULL) <> (status IN ('received', 'parked'))
