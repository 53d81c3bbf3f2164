-- charges/list_of: the charges of an order or of a hold, for a refund that names no charge
SELECT provider, name, event_id, order_id, hold_id, status, amount_minor, currency, refunded_minor, restock, due_refunds
FROM charges
WHERE provider = :provider AND order_id = :order_id
UNION
SELECT provider, name, event_id, order_id, hold_id, status, amount_minor, currency, refunded_minor, restock, due_refunds
FROM charges
WHERE provider = :provider AND hold_id = :hold_id
