-- audit/order_refund_mismatch: what was given back of an order is what was given back of the charge that paid it, and only
-- a refunded order was restocked
SELECT orders.id, CONCAT('of its total ', orders.refunded_minor, ' were given back, of its charge ',
                         COALESCE(payer.refunded_minor, 0), IF(restocked, ', and it was restocked', ''))
FROM orders
LEFT JOIN (
  SELECT charges.order_id, charges.refunded_minor FROM charges
  JOIN payment_events ON payment_events.id = charges.event_id AND payment_events.status = 'applied'
  WHERE charges.order_id BETWEEN :first AND :last AND charges.status IN ('paid', 'refunded')
) AS payer ON payer.order_id = orders.id
WHERE orders.id BETWEEN :first AND :last
  AND (orders.refunded_minor <> COALESCE(payer.refunded_minor, 0) OR (restocked AND orders.status <> 'refunded'))
