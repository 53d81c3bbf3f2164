-- payment_events/count_waiting_successes: how many payments of this order wait to be applied, without those that too many
-- attempts did not apply
SELECT (SELECT COUNT(id) FROM payment_events
        WHERE order_id = :order_id AND status IN ('received', 'parked') AND meaning = 'succeeded'
          AND attempts < :protecting_attempts)
     + (SELECT COUNT(id) FROM payment_events
        WHERE hold_id = :hold_id AND status IN ('received', 'parked') AND meaning = 'succeeded'
          AND attempts < :protecting_attempts)
