-- unmatched_objects/delete: the event is matched, by the transaction that holds its row
DELETE FROM unmatched_objects
WHERE event_id = :event_id
