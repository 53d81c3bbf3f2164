-- audit/units_not_counted: the units of a buyer that are out are counted, once the product's limit per buyer is enforced; for an event
-- with a limit always
SELECT holds.id, CONCAT(holds.qty, ' units of product ', holds.product_id, ', which has a limit per buyer, are not counted')
FROM holds FORCE INDEX (PRIMARY)
JOIN products ON products.id = holds.product_id
JOIN hold_owners AS owners ON owners.hold_id = holds.id AND owners.buyer IS NOT NULL
LEFT JOIN orders ON orders.hold_id = holds.id
WHERE holds.id BETWEEN :first AND :last
  AND (holds.counted_on IS NULL AND products.limit_state = 'enforced' AND products.max_per_buyer >= 1
    OR holds.event_counted_on IS NULL AND products.event_max_per_buyer >= 1)
  AND (holds.status = 'active' OR orders.status IN ('pending', 'paid') OR orders.status = 'refunded' AND NOT orders.restocked)
