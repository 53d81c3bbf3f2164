-- charges/find: one charge by provider and name
SELECT provider, name, event_id, order_id, hold_id, status, amount_minor, currency, refunded_minor, restock, due_refunds
FROM charges
WHERE provider = :provider AND name = :name
