-- unmatched_objects/delete: the event was matched by this transaction, which has its row locked
DELETE FROM unmatched_objects
WHERE event_id = :event_id
