-- holds/find_supply_within: as holds/find_supply, where all rows that may come back are due within known ranges of time:
-- entries outside of these, which a snapshot keeps, are not read
SELECT products.available, NOW(6), returning_units.qty, returning_units.returns_in_us, returning_units.returns_at,
       products.plain
FROM products
LEFT JOIN (
  SELECT product_id, qty, TIMESTAMPDIFF(MICROSECOND, NOW(6), returns_at) AS returns_in_us, returns_at
  FROM holds FORCE INDEX (holds_returning)
  WHERE product_id = {product_id} AND ({ranges})
  ORDER BY returns_at
  LIMIT {limit}
) AS returning_units ON returning_units.product_id = products.id
WHERE products.id = {product_id}
ORDER BY returning_units.returns_in_us
