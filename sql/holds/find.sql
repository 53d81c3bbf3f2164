-- holds/find: the rows of these holds, one per product, each with its owner; a hold that has run out is shown as expired before a
-- worker marks it
SELECT holds.id, holds.product_id, holds.qty, holds.unit_price_minor, holds.currency,
       IF(holds.status = 'active' AND holds.expires_at <= NOW(6), 'expired', holds.status) AS status,
       holds.expires_at, orders.id AS order_id, NOW(6) AS server_time, holds.order_ttl_seconds, holds.changes, holds.held_on,
       holds.seats,
       owners.client_id, owners.buyer, owners.reference, owners.metadata
FROM holds
LEFT JOIN orders ON orders.hold_id = holds.id
LEFT JOIN hold_owners AS owners ON owners.hold_id = holds.id
WHERE holds.id IN ({ids})
ORDER BY holds.id, holds.product_id
