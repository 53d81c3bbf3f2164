-- audit/order_total_mismatch: the total of an order is the sum of its lines, all in its currency
-- reads up to 8 rows for each: the joined rows are sorted into groups in a temporary table
SELECT orders.id, CONCAT('its total is ', total_minor, ' ', orders.currency, ', its ', COUNT(holds.id), ' lines cost ',
                         COALESCE(SUM(holds.qty * holds.unit_price_minor), 0))
FROM orders FORCE INDEX (PRIMARY)
LEFT JOIN holds ON holds.id = orders.hold_id
WHERE orders.id BETWEEN :first AND :last
GROUP BY orders.id, orders.total_minor, orders.currency
HAVING COUNT(holds.id) > 0
  AND (orders.total_minor <> SUM(holds.qty * holds.unit_price_minor) OR SUM(holds.currency <> orders.currency) > 0)
