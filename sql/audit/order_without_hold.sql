-- audit/order_without_hold: the hold of an order exists
SELECT orders.id, CONCAT('there is no hold ', LOWER(HEX(hold_id)))
FROM orders
LEFT JOIN holds ON holds.id = orders.hold_id
WHERE orders.id BETWEEN :first AND :last AND holds.id IS NULL
