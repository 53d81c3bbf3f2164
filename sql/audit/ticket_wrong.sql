-- audit/ticket_wrong: a ticket is for a unit of its order, for the event of its ticket type and a seat of its hold, and its times fit
-- its state
SELECT tickets.order_id, CONCAT('the ticket ', tickets.issue, ' of the unit ', tickets.unit, ' of the ticket type ', tickets.product_id,
         ' is ', tickets.status, COALESCE(CONCAT(', for the seat ', tickets.seat), ''), ', for the event ', tickets.event_id,
         IF(holds.id IS NULL, ', and the order has no units of it', ''))
FROM tickets FORCE INDEX (PRIMARY)
LEFT JOIN orders FORCE INDEX (PRIMARY) ON orders.id = tickets.order_id
LEFT JOIN holds FORCE INDEX (PRIMARY) ON holds.id = orders.hold_id AND holds.product_id = tickets.product_id
LEFT JOIN products FORCE INDEX (PRIMARY) ON products.id = tickets.product_id
WHERE tickets.order_id BETWEEN :first AND :last
  AND NOT COALESCE(
    holds.id IS NOT NULL AND tickets.unit BETWEEN 1 AND holds.qty AND COALESCE(products.event_id, 0) = tickets.event_id
      AND IF(tickets.seat IS NULL, COALESCE(LENGTH(holds.seats), 0) = 0,
             LOCATE(CONCAT(x'0A', tickets.seat, x'0A'), CONCAT(x'0A', holds.seats, x'0A')) > 0)
      AND (tickets.status = 'void') = (tickets.voided_at IS NOT NULL)
      AND CASE tickets.status WHEN 'valid' THEN tickets.redeemed_at IS NULL WHEN 'redeemed' THEN tickets.redeemed_at IS NOT NULL ELSE TRUE END,
    FALSE)
