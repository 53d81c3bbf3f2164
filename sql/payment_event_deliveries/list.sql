-- payment_event_deliveries/list: what the deliveries of an event were answered; 100 rows at most
SELECT delivery, answer, at
FROM payment_event_deliveries
WHERE event_id = :event_id
