-- audit/event_never_due: an event that waits has a due time; an unmatched one has objects by which a link finds it. They are
-- counted event by event: an EXISTS would first be materialised from the whole table
SELECT id, CONCAT('a payment event that is ', status, ' is never due')
FROM payment_events FORCE INDEX (PRIMARY)
WHERE id BETWEEN :first AND :last
  AND (status IN ('received', 'parked') AND due_at IS NULL
    OR status = 'unmatched' AND 0 =
      (SELECT COUNT(objects.event_id) FROM unmatched_objects AS objects FORCE INDEX (unmatched_objects_event)
       WHERE objects.event_id = payment_events.id))
