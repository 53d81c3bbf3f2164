-- due_refunds/settle_by_hand: an operator has given the money back by another way
UPDATE due_refunds
SET settled_at = NOW(6), settled_by = :operator
WHERE charge_event_id = :charge_event_id AND settled_at IS NULL
