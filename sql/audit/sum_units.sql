-- audit/sum_units: the units that a page of holds speaks for, by product: held, awaiting payment, sold. An order says more
-- than its hold; restocked units were put back on sale with the refund
SELECT holds.product_id,
       CAST(SUM(IF(orders.id IS NULL AND holds.status = 'active', qty, 0)) AS SIGNED) AS held,
       CAST(SUM(IF(orders.status = 'pending', qty, 0)) AS SIGNED) AS awaiting,
       CAST(SUM(IF(orders.status = 'paid' OR (orders.status = 'refunded' AND NOT orders.restocked), qty, 0)) AS SIGNED)
         AS sold
FROM holds
LEFT JOIN orders ON orders.hold_id = holds.id
WHERE holds.id BETWEEN :first AND :last AND holds.product_id BETWEEN :first_product AND :last_product
GROUP BY holds.product_id
