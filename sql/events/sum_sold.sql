-- events/sum_sold: what is to end with an event: active holds and unpaid orders, whose units come back by themselves, and paid
-- orders with the money of their charges that is left, in the event's currency. Of an order with other products, too, it is what was
-- paid for the event's at most. Charges in another currency, which an operator accepted, are not in the sum
SELECT CAST(COALESCE(SUM(sold.hold), 0) AS SIGNED) AS holds, CAST(COALESCE(SUM(sold.pending), 0) AS SIGNED) AS pending,
       CAST(COALESCE(SUM(sold.paid), 0) AS SIGNED) AS paid,
       CAST(COALESCE(SUM(CASE WHEN sold.own_minor >= sold.total_minor THEN sold.left_minor
                              ELSE LEAST(sold.own_minor, sold.left_minor) END), 0) AS SIGNED) AS amount_minor
FROM (
  SELECT MAX(holds.status = 'active') AS hold, MAX(COALESCE(orders.status = 'pending', FALSE)) AS pending,
         MAX(COALESCE(orders.status = 'paid', FALSE)) AS paid, SUM(holds.qty * holds.unit_price_minor) AS own_minor,
         MAX(orders.total_minor) AS total_minor,
         (SELECT SUM(GREATEST(charges.amount_minor - GREATEST(charges.refunded_minor, COALESCE(
                   (SELECT MAX(due_refunds.until_minor) FROM due_refunds
                    WHERE due_refunds.charge_event_id = charges.event_id), 0)), 0))
          FROM charges FORCE INDEX (charges_order)
          WHERE charges.order_id = orders.id AND charges.status = 'paid' AND orders.status = 'paid'
            AND charges.currency = {currency}) AS left_minor
  FROM holds FORCE INDEX (holds_returning)
  LEFT JOIN orders FORCE INDEX (orders_hold) ON holds.status = 'ordered' AND orders.hold_id = holds.id
  WHERE holds.product_id IN ({ids}) AND holds.status IN ('active', 'ordered')
  GROUP BY holds.id, orders.id, orders.status
) AS sold
