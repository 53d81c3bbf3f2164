-- payment_event_deliveries/list: the answers to the deliveries of an event; 100 rows at most
SELECT delivery, answer, at
FROM payment_event_deliveries
WHERE event_id = :event_id
