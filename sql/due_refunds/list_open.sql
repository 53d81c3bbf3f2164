-- due_refunds/list_open: charges with due refunds that are open, by the events that own them
SELECT DISTINCT charge_event_id
FROM due_refunds FORCE INDEX (due_refunds_open)
WHERE settled_at IS NULL AND charge_event_id >= :first AND charge_event_id <= :last
ORDER BY charge_event_id
LIMIT :limit
