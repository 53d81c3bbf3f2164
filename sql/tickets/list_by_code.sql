-- tickets/list_by_code: the tickets with these codes
SELECT tickets.order_id, tickets.product_id, tickets.unit, tickets.issue, tickets.event_id, tickets.code, tickets.seat, tickets.status,
       tickets.issued_at, tickets.issued_by, tickets.issue_key, tickets.redeemed_at, tickets.redeemed_by, tickets.redeem_key,
       tickets.gate, tickets.voided_at, COALESCE(orders.disputed, FALSE) AS disputed
FROM tickets FORCE INDEX (tickets_code)
LEFT JOIN orders ON orders.id = tickets.order_id
WHERE tickets.code IN ({codes})
