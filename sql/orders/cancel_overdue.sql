-- orders/cancel_overdue: as orders/cancel, of orders that were not paid in time; an extension that was committed since they were
-- listed wins
UPDATE orders FORCE INDEX (PRIMARY)
SET status = 'cancelled'
WHERE id IN ({ids}) AND status = 'pending' AND pay_by <= NOW(6)
