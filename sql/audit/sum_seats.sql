-- audit/sum_seats: the ticket types of a page with seats: their stock and reserved units, how many seats they have, how many of them
-- are not free, and how many do not fit their hold or its order
SELECT products.id, MIN(products.stock), MIN(products.reserved), COUNT(seats.n),
       CAST(COALESCE(SUM(seats.hold_id IS NOT NULL), 0) AS SIGNED),
       CAST(COALESCE(SUM(
         seats.hold_id IS NOT NULL AND NOT COALESCE(
           LOCATE(CONCAT(x'0A', seats.label, x'0A'), CONCAT(x'0A', holds.seats, x'0A')) > 0
             AND (holds.status = 'active' OR orders.status IN ('pending', 'paid') OR orders.status = 'refunded' AND NOT orders.restocked),
           FALSE)
         OR seats.sold <> COALESCE(
           seats.hold_id IS NOT NULL AND (orders.status = 'paid' OR orders.status = 'refunded' AND NOT orders.restocked),
           FALSE)), 0) AS SIGNED)
FROM products FORCE INDEX (PRIMARY)
LEFT JOIN seats FORCE INDEX (PRIMARY) ON seats.product_id = products.id
LEFT JOIN holds FORCE INDEX (PRIMARY) ON holds.id = seats.hold_id AND holds.product_id = seats.product_id
LEFT JOIN orders ON orders.hold_id = seats.hold_id
WHERE products.id BETWEEN :first AND :last
GROUP BY products.id
HAVING MAX(products.kind = 'seated') OR COUNT(seats.n) > 0
