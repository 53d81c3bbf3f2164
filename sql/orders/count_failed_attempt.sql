-- orders/count_failed_attempt: only while the order is pending, and only up to a limit, so that its trail stays short
UPDATE orders
SET failed_attempts = failed_attempts + 1
WHERE id = :order_id AND status = 'pending' AND failed_attempts < :limit
