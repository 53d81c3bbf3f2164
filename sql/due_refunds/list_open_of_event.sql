-- due_refunds/list_open_of_event: as due_refunds/list_open, for one event
SELECT charge_event_id
FROM due_refunds FORCE INDEX (due_refunds_of_event)
WHERE event_id = :event_id AND settled_at IS NULL AND charge_event_id >= :first AND charge_event_id <= :last
ORDER BY charge_event_id
LIMIT :limit
