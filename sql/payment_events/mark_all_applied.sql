-- payment_events/mark_all_applied: a batch of leased successes, with their orders in the same packet; one that got its outcome
-- elsewhere is not counted, which undoes the batch
UPDATE payment_events FORCE INDEX (PRIMARY)
SET status = 'applied', attempted_at = NOW(6), settled_at = NOW(6), due_at = NULL, processing_us = {processing_us}
WHERE id IN ({ids}) AND status = 'received' AND attempts = 1
