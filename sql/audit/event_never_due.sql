-- audit/event_never_due: an event that waits is looked at again some day; an unmatched one is found by its objects
SELECT id, CONCAT('a payment event that is ', status, ' is never due')
FROM payment_events
WHERE id BETWEEN :first AND :last
  AND (status IN ('received', 'parked') AND due_at IS NULL
    OR status = 'unmatched' AND NOT EXISTS (SELECT 1 FROM unmatched_objects WHERE event_id = payment_events.id))
