-- tickets/void: the tickets of orders do not admit any more
UPDATE tickets FORCE INDEX (PRIMARY)
SET status = 'void', voided_at = NOW(6)
WHERE order_id IN ({ids}) AND status <> 'void'
