-- payment_events/count_parked_successes: whether a payment that came before this order has not been applied yet
SELECT (SELECT COUNT(id) FROM payment_events
        WHERE order_id = :order_id AND status = 'parked' AND meaning = 'succeeded')
     + (SELECT COUNT(id) FROM payment_events
        WHERE hold_id = :hold_id AND status = 'parked' AND meaning = 'succeeded')
