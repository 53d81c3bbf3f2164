-- payment_event_quarantines/find_dismissal: whether an operator dismissed the event
SELECT dismissed_at IS NOT NULL
FROM payment_event_quarantines
WHERE event_id = :event_id
