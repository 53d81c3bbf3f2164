-- audit/due_refund_wrong: a due refund is of a charge and of an event that was cancelled, it is what was left for the event, and it is
-- settled exactly when as much was given back, or by an operator. It begins where the others end that operators had not settled before,
-- and those that operators did not settle have nothing in common
-- reads up to 7 rows for each: a due refund is looked up with its charge, its order, the others of its charge, and the rows of its hold
SELECT due.charge_event_id,
       CONCAT('for the event ', due.event_id, ' ', COALESCE(due.amount_minor, 'all'), ' of ', COALESCE(charges.amount_minor, 'a charge'),
              IF(due.settled_at IS NULL, ' is due', ' was given back'), ' up to ', COALESCE(due.until_minor, 'all'), ', the charge to ',
              COALESCE(charges.refunded_minor, 'nothing'), IF(endings.event_id IS NULL, ', and the event goes on', ''))
FROM due_refunds AS due
LEFT JOIN charges FORCE INDEX (charges_event) ON charges.event_id = due.charge_event_id
LEFT JOIN orders ON orders.id = due.order_id
LEFT JOIN event_cancellations AS endings ON endings.event_id = due.event_id
WHERE due.charge_event_id BETWEEN :first AND :last
  AND NOT COALESCE(
    endings.event_id IS NOT NULL AND charges.order_id = due.order_id AND charges.currency <=> due.currency
      AND (due.amount_minor IS NULL AND charges.amount_minor IS NULL
        OR due.amount_minor > 0 AND due.until_minor BETWEEN due.amount_minor AND charges.amount_minor
          AND due.until_minor - due.amount_minor <= GREATEST(charges.refunded_minor, COALESCE(
            (SELECT MAX(other.until_minor) FROM due_refunds AS other
             WHERE other.charge_event_id = due.charge_event_id AND other.event_id <> due.event_id
               AND (other.settled_by IS NULL OR other.settled_at > due.due_at)), 0))
          AND NOT EXISTS (
            SELECT 1 FROM due_refunds AS other
            WHERE other.charge_event_id = due.charge_event_id AND other.event_id <> due.event_id
              AND other.settled_by IS NULL AND due.settled_by IS NULL
              AND other.until_minor <= due.until_minor AND other.until_minor > due.until_minor - due.amount_minor))
      AND (due.settled_by IS NOT NULL
        OR (due.settled_at IS NOT NULL) = (charges.status = 'refunded' OR COALESCE(charges.refunded_minor >= due.until_minor, FALSE)))
      AND (charges.currency <> orders.currency OR due.amount_minor IS NULL
        OR due.amount_minor = (
          SELECT LEAST(
            IF(SUM(own.qty * own.unit_price_minor) >= orders.total_minor, charges.amount_minor, SUM(own.qty * own.unit_price_minor)),
            charges.amount_minor - GREATEST(due.until_minor - due.amount_minor, COALESCE(
              (SELECT MAX(other.until_minor) FROM due_refunds AS other
               WHERE other.charge_event_id = due.charge_event_id AND other.settled_by IS NOT NULL AND other.due_at < due.due_at), 0)))
          FROM holds AS own
          JOIN products ON products.id = own.product_id
          WHERE own.id = orders.hold_id AND products.event_id = due.event_id AND products.kind IS NOT NULL)),
    FALSE)
