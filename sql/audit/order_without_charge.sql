-- audit/order_without_charge: a paid order has the charge that paid it, a refunded order has that charge given back in full.
-- Outer joins go from the page to its charges; NOT EXISTS would materialise all charges for every page
SELECT orders.id, CONCAT('it is ', MAX(orders.status), ' and no charge that paid it is')
FROM orders
LEFT JOIN charges ON charges.order_id = orders.id AND charges.status = orders.status
LEFT JOIN payment_events AS owners ON owners.id = charges.event_id AND owners.status = 'applied'
WHERE orders.id BETWEEN :first AND :last AND orders.status IN ('paid', 'refunded')
GROUP BY orders.id
HAVING COUNT(owners.id) = 0
