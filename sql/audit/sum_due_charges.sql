-- audit/sum_due_charges: of the successes of a page that are due for refund or refunded: how many own a charge, and how
-- many own none or one that does not match. A refunded success may name a charge that another event owns
SELECT COUNT(own.event_id),
       CAST(COALESCE(SUM(NOT IF(own.event_id IS NULL, others.event_id IS NOT NULL,
         own.provider = events.provider AND own.status = events.status
           AND own.name = COALESCE(events.txn_id, CONCAT(0x1f, events.idempotency_key)))), 0) AS SIGNED)
FROM payment_events AS events FORCE INDEX (PRIMARY)
LEFT JOIN charges AS own ON own.event_id = events.id
LEFT JOIN charges AS others
  ON events.status = 'refunded' AND others.provider = events.provider AND others.name = events.txn_id
WHERE events.id BETWEEN :first AND :last AND events.meaning = 'succeeded'
  AND events.status IN ('refund_due', 'refunded')
