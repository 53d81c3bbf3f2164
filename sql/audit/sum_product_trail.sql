-- audit/sum_product_trail: how many rows of a page of trails of products are not what a change can have written by itself
SELECT CAST(COALESCE(SUM(NOT IF(action = 'created', from_values IS NULL, COALESCE(from_values <> to_values, FALSE))), 0)
            AS SIGNED),
       CAST(COALESCE(SUM(action = 'created'), 0) AS SIGNED)
FROM product_trail FORCE INDEX (PRIMARY)
WHERE id BETWEEN :first AND :last
