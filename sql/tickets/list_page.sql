-- tickets/list_page: a page of the tickets for an event in one state
SELECT tickets.order_id, tickets.product_id, tickets.unit, tickets.issue, tickets.event_id, tickets.code, tickets.seat, tickets.status,
       tickets.issued_at, tickets.issued_by, tickets.issue_key, tickets.redeemed_at, tickets.redeemed_by, tickets.redeem_key,
       tickets.gate, tickets.voided_at, COALESCE(orders.disputed, FALSE) AS disputed
FROM tickets FORCE INDEX (tickets_of_event)
LEFT JOIN orders ON orders.id = tickets.order_id
WHERE tickets.event_id = :event_id AND tickets.status = :status
  AND (tickets.order_id > :order_id OR tickets.order_id = :order_id AND (tickets.product_id > :product_id
       OR tickets.product_id = :product_id AND (tickets.unit > :unit OR tickets.unit = :unit AND tickets.issue > :issue)))
ORDER BY tickets.order_id, tickets.product_id, tickets.unit, tickets.issue
LIMIT :limit
