-- audit/transition_not_allowed: an order makes only the listed transitions, and one from pending to pending for a failed
-- attempt to pay
SELECT order_id, CONCAT('transition ', id, ' goes from ', COALESCE(from_status, 'nothing'), ' to ', to_status)
FROM order_events
WHERE id BETWEEN :first AND :last
  AND CONCAT(COALESCE(from_status, ''), '>', to_status) NOT IN
    ('>pending', 'pending>paid', 'pending>cancelled', 'cancelled>paid', 'paid>paid', 'paid>refunded')
  AND NOT (from_status <=> 'pending' AND to_status = 'pending' AND reason = 'payment_attempt_failed')
