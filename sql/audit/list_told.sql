-- audit/list_told: the orders of a page, and how many of their transitions were told
SELECT order_id, CAST(COALESCE(SUM(told), 0) AS SIGNED)
FROM order_events
WHERE order_id BETWEEN :first AND :last
GROUP BY order_id
