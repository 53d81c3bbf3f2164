-- orders/mark_paid: touches no product unless the order was cancelled: its units were reserved at the hold
UPDATE orders
SET status = 'paid'
WHERE id = :order_id AND status = :from
