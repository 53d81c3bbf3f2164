-- unmatched_objects/insert: the objects that a new unmatched event names
INSERT INTO unmatched_objects (provider, object_id, event_id)
VALUES {rows}
