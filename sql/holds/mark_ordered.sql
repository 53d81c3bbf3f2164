-- holds/mark_ordered: the hold becomes its order and waits for the payment as long as that does
UPDATE holds
SET status = 'ordered', returns_at = (SELECT pay_by FROM orders WHERE orders.id = :order_id)
WHERE id = :hold_id AND status = 'active' AND expires_at > NOW(6)
