-- holds/list_due_of_product: the same for one product, so that no buyer loses to a hold that has run out
SELECT id, product_id, qty, TIMESTAMPDIFF(MICROSECOND, expires_at, NOW(6)) AS late_us
FROM holds
WHERE product_id = :product_id AND returns_at <= NOW(6) AND status = 'active'
ORDER BY returns_at
LIMIT :limit
