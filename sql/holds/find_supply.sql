-- holds/find_supply: the units of a product that are on sale, and the rows that may come back, the earliest first, in one
-- snapshot; a row has at least one unit, so as many rows as units are missing show whether enough can come back
-- reads up to 6 rows for each on MariaDB: a row is read by its index entry, passes the derived table and is sorted
-- reads more while purge waits: after a slow run, holds/find_supply_within is used for ten times as long
SELECT products.available, NOW(6), returning_units.qty, returning_units.returns_in_us, returning_units.returns_at,
       products.plain
FROM products
LEFT JOIN (
  SELECT product_id, qty, TIMESTAMPDIFF(MICROSECOND, NOW(6), returns_at) AS returns_in_us, returns_at
  FROM holds FORCE INDEX (holds_returning)
  WHERE product_id = :product_id AND returns_at IS NOT NULL
  ORDER BY returns_at
  LIMIT :limit
) AS returning_units ON returning_units.product_id = products.id
WHERE products.id = :product_id
ORDER BY returning_units.returns_in_us
