-- holds/find_limits: what bounds the deadline of a hold: when it was taken, and what each of its products allows
SELECT holds.created_at, products.max_hold_seconds, NOW(6) AS server_time
FROM holds
LEFT JOIN products ON products.id = holds.product_id
WHERE holds.id = :hold_id
