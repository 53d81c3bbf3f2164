-- audit/due_refund_missing: what is left of a charge that paid for a cancelled event is due once the walk has passed its hold, and a
-- charge counts its due refunds
-- reads up to 6 rows for each on MariaDB: a charge is looked up with its order, the rows of its hold, its event, and what is due of it
SELECT charges.event_id,
       IF(ended.event_id IS NULL, 'it does not count its due refunds',
          CONCAT('it paid for the event ', ended.event_id, ', and nothing of it is due'))
FROM charges
LEFT JOIN (
  SELECT paid.event_id AS charge_event_id, endings.event_id
  FROM charges AS paid
  STRAIGHT_JOIN orders ON orders.id = paid.order_id
  STRAIGHT_JOIN holds FORCE INDEX (PRIMARY) ON holds.id = orders.hold_id
  STRAIGHT_JOIN products ON products.id = holds.product_id AND products.kind IS NOT NULL
  STRAIGHT_JOIN event_cancellations AS endings ON endings.event_id = products.event_id
  WHERE (paid.provider > :first_provider OR (paid.provider = :first_provider AND paid.name >= :first_name))
    AND (paid.provider < :last_provider OR (paid.provider = :last_provider AND paid.name <= :last_name))
    AND paid.status = 'paid' AND orders.status = 'paid' AND holds.unit_price_minor > 0
    AND (endings.stage = 'finished' OR endings.stage = 'refunds'
      AND (holds.product_id < endings.product_id OR holds.product_id = endings.product_id AND holds.id <= endings.hold_id))
    AND COALESCE(paid.amount_minor > GREATEST(paid.refunded_minor, COALESCE(
      (SELECT MAX(due.until_minor) FROM due_refunds AS due WHERE due.charge_event_id = paid.event_id), 0)), TRUE)
    AND 0 = (SELECT COUNT(due.event_id) FROM due_refunds AS due
             WHERE due.charge_event_id = paid.event_id AND due.event_id = endings.event_id)
  GROUP BY paid.event_id, endings.event_id
) AS ended ON ended.charge_event_id = charges.event_id
WHERE (charges.provider > :first_provider OR (charges.provider = :first_provider AND charges.name >= :first_name))
  AND (charges.provider < :last_provider OR (charges.provider = :last_provider AND charges.name <= :last_name))
  AND (ended.event_id IS NOT NULL OR charges.due_refunds <> (
    SELECT COUNT(due.event_id) FROM due_refunds AS due WHERE due.charge_event_id = charges.event_id))
