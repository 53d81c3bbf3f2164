-- audit/order_refund_mismatch: the amount given back of an order is the amount given back of the charge that paid it, and
-- only a refunded order is restocked
-- reads up to 6 rows for each: the joined rows are sorted into groups in a temporary table
SELECT id, CONCAT('of it ', refunded_minor, ' were given back, of its charge ', of_charge,
                  IF(restocked, ', and it was restocked', ''))
FROM (
  SELECT orders.id, orders.status, orders.restocked, orders.refunded_minor,
         COALESCE(SUM(IF(owners.id IS NULL, 0, charges.refunded_minor)), 0) AS of_charge
  FROM orders
  LEFT JOIN charges ON charges.order_id = orders.id AND charges.status IN ('paid', 'refunded')
  LEFT JOIN payment_events AS owners ON owners.id = charges.event_id AND owners.status = 'applied'
  WHERE orders.id BETWEEN :first AND :last
  GROUP BY orders.id, orders.status, orders.restocked, orders.refunded_minor
) AS compared
WHERE refunded_minor <> of_charge OR (restocked AND status <> 'refunded')
