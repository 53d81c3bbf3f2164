-- event_cancellations/note: what the step has done, which the transaction has claimed
UPDATE event_cancellations
SET stage = :stage, product_id = :product_id, hold_id = :hold_id, holds_ended = holds_ended + :holds_ended,
    orders_cancelled = orders_cancelled + :orders_cancelled, refunds_due = refunds_due + :refunds_due,
    amount_minor = amount_minor + :amount_minor, finished_at = IF(:stage = 'finished', NOW(6), NULL)
WHERE event_id = :event_id
