-- charges/count_paid: how many charges of a provider paid an order; at most one
SELECT COUNT(charges.event_id)
FROM charges
JOIN payment_events ON payment_events.id = charges.event_id
WHERE charges.provider = :provider AND charges.order_id = :order_id AND charges.status IN ('paid', 'refunded')
  AND payment_events.status = 'applied'
