-- payment_events/list_holds: which of these holds are named by events without a final outcome
SELECT DISTINCT hold_id
FROM payment_events FORCE INDEX (payment_events_hold)
WHERE hold_id IN ({ids}) AND status IN ('received', 'parked', 'dead')
