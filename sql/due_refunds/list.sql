-- due_refunds/list: the due refunds of these charges
SELECT charge_event_id, event_id, order_id, amount_minor, currency, due_at, settled_at
FROM due_refunds FORCE INDEX (PRIMARY)
WHERE charge_event_id IN ({ids})
ORDER BY charge_event_id, event_id
