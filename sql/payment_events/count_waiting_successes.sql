-- payment_events/count_waiting_successes: whether a payment of this order has not been applied yet; one that could not be,
-- again and again, does not keep others waiting
SELECT (SELECT COUNT(id) FROM payment_events
        WHERE order_id = :order_id AND status IN ('received', 'parked') AND meaning = 'succeeded' AND attempts < 5)
     + (SELECT COUNT(id) FROM payment_events
        WHERE hold_id = :hold_id AND status IN ('received', 'parked') AND meaning = 'succeeded' AND attempts < 5)
