-- audit/sum_units: what a page of orders says about its holds, by product (NULL where the hold is missing): how many rows
-- of holds are ordered; the units of active ones, which the order speaks for instead; the units that wait for payment and
-- the sold ones (restocked units were put back on sale with the refund); how many rows do not fit their order; and how many are of
-- orders that were made later than now
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
