-- payment_events/count_waiting_successes: how many payments of this order wait to be applied; from its fifth attempt on, a
-- payment does not hold up others
SELECT (SELECT COUNT(id) FROM payment_events
        WHERE order_id = :order_id AND status IN ('received', 'parked') AND meaning = 'succeeded' AND attempts < 5)
     + (SELECT COUNT(id) FROM payment_events
        WHERE hold_id = :hold_id AND status IN ('received', 'parked') AND meaning = 'succeeded' AND attempts < 5)
