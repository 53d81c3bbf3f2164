-- event_cancellations/find: how far the end of an event is
SELECT event_id, cancelled_by, cancelled_at, stage, product_id, hold_id, steps, holds_ended, orders_cancelled, refunds_due,
       amount_minor, finished_at
FROM event_cancellations
WHERE event_id = :event_id
