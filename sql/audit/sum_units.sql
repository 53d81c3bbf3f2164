-- audit/sum_units: the holds of a page of orders, by product (NULL where the hold is missing): how many rows of holds are
-- ordered; the units of active rows, which are counted with their order instead; the units that wait for payment; the sold
-- units (restocked ones went back on sale with the refund); how many rows do not fit their order; and how many belong to
-- orders with a creation time in the future
SELECT holds.product_id, CAST(SUM(COALESCE(holds.status = 'ordered', FALSE)) AS SIGNED),
       CAST(SUM(IF(holds.status = 'active', qty, 0)) AS SIGNED),
       CAST(SUM(IF(orders.status = 'pending', COALESCE(qty, 0), 0)) AS SIGNED),
       CAST(SUM(IF(orders.status = 'paid' OR (orders.status = 'refunded' AND NOT orders.restocked), COALESCE(qty, 0), 0))
         AS SIGNED),
       CAST(SUM(NOT COALESCE(holds.status = 'ordered' AND returns_at <=> IF(orders.status = 'pending', pay_by, NULL),
                             FALSE)) AS SIGNED),
       CAST(SUM(orders.status = 'pending' AND orders.created_at > NOW(6) + INTERVAL 5 SECOND) AS SIGNED)
FROM orders FORCE INDEX (PRIMARY)
LEFT JOIN holds ON holds.id = orders.hold_id
WHERE orders.id BETWEEN :first AND :last
GROUP BY holds.product_id
