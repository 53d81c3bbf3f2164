-- tickets/void_of_event: as tickets/void, those for one event alone: the same orders may have tickets for others
UPDATE tickets FORCE INDEX (PRIMARY)
SET status = 'void', voided_at = NOW(6)
WHERE order_id IN ({ids}) AND event_id = {event_id} AND status <> 'void'
