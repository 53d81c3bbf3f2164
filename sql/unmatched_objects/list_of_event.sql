-- unmatched_objects/list_of_event: the objects that an unmatched event names
SELECT provider, object_id
FROM unmatched_objects FORCE INDEX (unmatched_objects_event)
WHERE event_id = :event_id
