-- audit/sum_waiting_successes: amounts that were reported and have no charge yet, as the events state them; the default
-- currency is that of the order
SELECT payment_events.status, payment_events.amount, COALESCE(payment_events.currency, orders.currency) AS currency,
       COUNT(payment_events.id)
FROM payment_events
LEFT JOIN orders ON orders.id = payment_events.order_id
WHERE payment_events.id BETWEEN :first AND :last AND meaning = 'succeeded'
  AND payment_events.status IN ('received', 'parked', 'quarantined', 'dead', 'unmatched')
GROUP BY payment_events.status, payment_events.amount, COALESCE(payment_events.currency, orders.currency)
