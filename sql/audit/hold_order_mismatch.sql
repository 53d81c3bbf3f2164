-- audit/hold_order_mismatch: an ordered hold has an order, and no other hold has one
SELECT holds.id, CONCAT('a hold that is ', holds.status, IF(orders.id IS NULL, ' has no order', ' has an order'))
FROM holds
LEFT JOIN orders ON orders.hold_id = holds.id
WHERE holds.id BETWEEN :first AND :last AND (holds.status = 'ordered') <> (orders.id IS NOT NULL)
