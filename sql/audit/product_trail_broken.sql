-- audit/product_trail_broken: a product is created once, before everything else; a change has other values after it than
-- before. What another program changes has no row, so a row need not begin where the one before ended
SELECT product_trail.product_id,
       CONCAT('row ', product_trail.id, ', ', product_trail.action, ', from ', COALESCE(from_values, 'nothing'), ' to ', to_values)
FROM product_trail FORCE INDEX (PRIMARY)
WHERE product_trail.id BETWEEN :first AND :last
  AND (NOT IF(action = 'created', from_values IS NULL, COALESCE(from_values <> to_values, FALSE))
    OR action = 'created' AND 0 <
      (SELECT COUNT(earlier.id) FROM product_trail AS earlier FORCE INDEX (product_trail_product)
       WHERE earlier.product_id = product_trail.product_id AND earlier.id < product_trail.id))
