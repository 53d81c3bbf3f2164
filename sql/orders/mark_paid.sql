-- orders/mark_paid: no product changes unless the order was cancelled: its units were reserved with the hold
UPDATE orders
SET status = 'paid'
WHERE id = :order_id AND status = :from
