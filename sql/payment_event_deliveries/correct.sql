-- payment_event_deliveries/correct: the event was applied between its first delivery and the response to it
UPDATE payment_event_deliveries
SET answer = :answer
WHERE event_id = :event_id AND slot = 0 AND answer IN ('pending_order', 'unmatched')
