-- orders/insert: from an active hold; no row means the hold is not active, has an order, or the id is taken
INSERT INTO orders (id, hold_id, total_minor, currency, pay_by)
SELECT :order_id, id, SUM(qty * unit_price_minor), MIN(currency), NOW(6) + INTERVAL :ttl_seconds SECOND
FROM holds
WHERE id = :hold_id AND status = 'active' AND expires_at > NOW(6)
GROUP BY id
ON DUPLICATE KEY UPDATE id = orders.id
