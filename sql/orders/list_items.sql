-- orders/list_items: what the holds of these orders have of each product. Through orders, whose key is unique: of each id in a list for
-- holds, the server would first estimate how many rows it has
SELECT orders.id, holds.product_id, holds.qty, holds.unit_price_minor, holds.order_ttl_seconds, holds.seats
FROM orders
STRAIGHT_JOIN holds FORCE INDEX (PRIMARY) ON holds.id = orders.hold_id
WHERE orders.id IN ({ids})
