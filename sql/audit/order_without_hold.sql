-- audit/order_without_hold: an order is for what its hold holds
SELECT orders.id, CONCAT('there is no hold ', LOWER(HEX(hold_id)))
FROM orders
WHERE orders.id BETWEEN :first AND :last AND NOT EXISTS (SELECT 1 FROM holds WHERE holds.id = orders.hold_id)
