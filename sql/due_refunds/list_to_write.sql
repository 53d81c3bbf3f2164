-- due_refunds/list_to_write: a page of the holds of a ticket type by id, of those whose units do not come back by themselves, with the
-- paid order of each and the charge that paid it; the money of the event's units, and up to where the charge is due, with what operators
-- gave back by other ways and without it
-- reads up to 14 rows for each: a hold passes derived tables, and is looked up with its other rows, its order, its charge, and what is due
SELECT page.id, orders.id AS order_id, orders.total_minor, orders.currency AS order_currency,
       charges.event_id AS charge_event_id, charges.amount_minor, charges.currency, charges.refunded_minor,
       charges.due_refunds,
       (SELECT CAST(SUM(own.qty * own.unit_price_minor) AS SIGNED) FROM holds AS own
        WHERE own.id = page.id AND own.product_id IN ({ids})) AS own_minor,
       (SELECT MAX(due.until_minor) FROM due_refunds AS due WHERE due.charge_event_id = charges.event_id) AS known_minor,
       (SELECT MAX(due.until_minor) FROM due_refunds AS due
        WHERE due.charge_event_id = charges.event_id AND due.settled_by IS NULL) AS until_minor,
       (SELECT COUNT(due.event_id) FROM due_refunds AS due
        WHERE due.charge_event_id = charges.event_id AND due.event_id = {event_id}) AS known
FROM (
  SELECT id
  FROM holds FORCE INDEX (holds_returning)
  WHERE product_id = {product_id} AND returns_at IS NULL AND id > {after}
  ORDER BY id
  LIMIT {limit}
) AS page
LEFT JOIN orders FORCE INDEX (orders_hold) ON orders.hold_id = page.id AND orders.status = 'paid'
LEFT JOIN charges FORCE INDEX (charges_order) ON charges.order_id = orders.id AND charges.status = 'paid'
ORDER BY page.id, charges.event_id
