-- holds/list_uncounted: the holds of a product in a range of ids whose units are out, have a buyer and are not counted
SELECT holds.id, holds.qty, holds.status, orders.id AS order_id, owners.client_id, owners.buyer
FROM holds FORCE INDEX (PRIMARY)
STRAIGHT_JOIN hold_owners AS owners ON owners.hold_id = holds.id
LEFT JOIN orders ON orders.hold_id = holds.id
WHERE holds.id > :after AND holds.id <= :last AND holds.product_id = :product_id AND holds.counted_on IS NULL
  AND owners.buyer IS NOT NULL
  AND (holds.status = 'active' OR holds.status = 'ordered'
    AND (orders.status IN ('pending', 'paid') OR orders.status = 'refunded' AND NOT orders.restocked))
ORDER BY holds.id
