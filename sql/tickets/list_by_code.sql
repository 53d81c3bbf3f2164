-- tickets/list_by_code: the tickets with these codes, and the clients that sold them
SELECT tickets.order_id, tickets.product_id, tickets.unit, tickets.issue, tickets.event_id, tickets.code, tickets.seat, tickets.status,
       tickets.issued_at, tickets.issued_by, tickets.issue_key, tickets.redeemed_at, tickets.redeemed_by, tickets.redeem_key,
       tickets.gate, tickets.voided_at, COALESCE(orders.disputed, FALSE) AS disputed,
       COALESCE(orders.client_id, (SELECT order_owners.client_id FROM order_owners WHERE order_owners.order_id = tickets.order_id), 0) AS client
FROM tickets FORCE INDEX (tickets_code)
LEFT JOIN orders ON orders.id = tickets.order_id
WHERE tickets.code IN ({codes})
