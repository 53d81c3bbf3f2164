-- tickets/list_by_code: the tickets with these codes, and the clients that sold them
SELECT tickets.order_id, tickets.product_id, tickets.unit, tickets.issue, tickets.event_id, tickets.code, tickets.seat, tickets.status,
       tickets.issued_at, tickets.issued_by, tickets.issue_key, tickets.redeemed_at, tickets.redeemed_by, tickets.redeem_key,
       tickets.gate, tickets.voided_at, COALESCE(orders.disputed, FALSE) AS disputed,
       COALESCE(orders.client_id, order_owners.client_id, 0) AS client
FROM tickets FORCE INDEX (tickets_code)
LEFT JOIN orders FORCE INDEX (PRIMARY) ON orders.id = tickets.order_id
LEFT JOIN order_owners FORCE INDEX (PRIMARY) ON order_owners.order_id = IF(orders.client_id IS NULL, tickets.order_id, NULL)
WHERE tickets.code IN ({codes})
