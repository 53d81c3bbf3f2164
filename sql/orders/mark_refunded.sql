-- orders/mark_refunded: the charge that paid it was given back in full
UPDATE orders
SET status = 'refunded'
WHERE id = :order_id AND status = 'paid'
