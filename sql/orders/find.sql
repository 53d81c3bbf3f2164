-- orders/find: an order as its readers and the payment machine see it
SELECT id, hold_id, status, total_minor, currency, created_at, pay_by, charge_provider, charge_txn_id
FROM orders
WHERE id = :order_id
