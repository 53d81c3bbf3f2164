-- tickets/find_issue: the ticket of a unit with this number of codes so far
SELECT tickets.order_id, tickets.product_id, tickets.unit, tickets.issue, tickets.event_id, tickets.code, tickets.seat, tickets.status,
       tickets.issued_at, tickets.issued_by, tickets.issue_key, tickets.redeemed_at, tickets.redeemed_by, tickets.redeem_key,
       tickets.gate, tickets.voided_at, COALESCE(orders.disputed, FALSE) AS disputed
FROM tickets FORCE INDEX (PRIMARY)
LEFT JOIN orders ON orders.id = tickets.order_id
WHERE tickets.order_id = :order_id AND tickets.product_id = :product_id AND tickets.unit = :unit AND tickets.issue = :issue
