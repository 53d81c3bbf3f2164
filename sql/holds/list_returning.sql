-- holds/list_returning: some holds of ticket types whose units come back by themselves: active ones, and those of unpaid orders
-- reads more while purge waits: it begins at the earliest deadline, where the steps before have changed what they found
SELECT holds.id, orders.id AS order_id
FROM holds FORCE INDEX (holds_returning)
LEFT JOIN orders FORCE INDEX (orders_hold) ON orders.hold_id = holds.id AND orders.status = 'pending'
WHERE holds.product_id IN ({ids}) AND holds.returns_at IS NOT NULL AND (holds.status = 'active' OR orders.id IS NOT NULL)
LIMIT {limit}
