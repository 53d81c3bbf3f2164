-- audit/order_without_charge: a paid order has the charge that paid it, a refunded one has it given back in full
SELECT orders.id, CONCAT('it is ', orders.status, ' and no charge that paid it is')
FROM orders
WHERE orders.id BETWEEN :first AND :last AND orders.status IN ('paid', 'refunded')
  AND NOT EXISTS (
    SELECT 1 FROM charges
    JOIN payment_events ON payment_events.id = charges.event_id
    WHERE charges.order_id = orders.id AND charges.status = orders.status AND payment_events.status = 'applied')
