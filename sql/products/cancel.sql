-- products/cancel: the event of these ticket types was cancelled: no units of them are taken from now on, and who takes some now
-- commits first
UPDATE products FORCE INDEX (PRIMARY)
SET cancelled_at = (SELECT cancelled_at FROM events WHERE id = {event_id})
WHERE id IN ({ids}) AND event_id = {event_id} AND cancelled_at IS NULL
