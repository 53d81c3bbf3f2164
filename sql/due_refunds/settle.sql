-- due_refunds/settle: a refund of a charge has reached them
UPDATE due_refunds
SET settled_at = NOW(6)
WHERE charge_event_id = :charge_event_id AND settled_at IS NULL AND (:whole OR until_minor <= :refunded_minor)
