-- audit/sum_counted: the units of a page of holds that counters should have, the same weighed by the counters' ids, and how many
-- rows should be counted and are not. No derived table: MariaDB refuses to sum over one when a prepared statement runs again
SELECT CAST(COALESCE(SUM(IF(holds.counted_on IS NULL, 0, holds.qty) + IF(holds.event_counted_on IS NULL, 0, holds.qty)
         + IF(holds.held_on IS NULL OR holds.status <> 'active', 0, holds.qty)), 0) AS SIGNED),
       CAST(COALESCE(SUM(IF(holds.counted_on IS NULL, 0, holds.qty * CAST(CRC32(holds.counted_on) AS SIGNED))
         + IF(holds.event_counted_on IS NULL, 0, holds.qty * CAST(CRC32(holds.event_counted_on) AS SIGNED))
         + IF(holds.held_on IS NULL OR holds.status <> 'active', 0, holds.qty * CAST(CRC32(holds.held_on) AS SIGNED))), 0) AS SIGNED),
       CAST(COALESCE(SUM(owners.buyer IS NOT NULL AND (holds.counted_on IS NULL
           AND COALESCE(products.limit_state = 'enforced' AND products.max_per_buyer >= 1, FALSE)
         OR holds.event_counted_on IS NULL AND COALESCE(products.event_max_per_buyer >= 1, FALSE))), 0) AS SIGNED)
FROM holds FORCE INDEX (PRIMARY)
LEFT JOIN orders ON orders.hold_id = holds.id
LEFT JOIN products ON products.id = holds.product_id
LEFT JOIN hold_owners AS owners ON owners.hold_id = holds.id
WHERE holds.id BETWEEN :first AND :last
  AND (holds.status = 'active' OR orders.status IN ('pending', 'paid') OR orders.status = 'refunded' AND NOT orders.restocked)
