-- audit/sum_totals: how many orders of a page have a total that is not the sum of their lines; those without lines are found by
-- their units
-- reads up to 8 rows for each: the joined rows are sorted into groups in a temporary table
SELECT COUNT(id)
FROM (
  SELECT orders.id
  FROM orders FORCE INDEX (PRIMARY)
  LEFT JOIN holds ON holds.id = orders.hold_id
  WHERE orders.id BETWEEN :first AND :last
  GROUP BY orders.id, orders.total_minor, orders.currency
  HAVING orders.total_minor <> SUM(holds.qty * holds.unit_price_minor) OR SUM(holds.currency <> orders.currency) > 0
) AS wrong
