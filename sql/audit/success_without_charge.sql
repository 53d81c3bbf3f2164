-- audit/success_without_charge: a success with an outcome owns its charge; a refunded success may name a charge that
-- another event owns
SELECT events.id, CONCAT('a success that is ', events.status, ' owns no charge')
FROM payment_events AS events
LEFT JOIN charges ON charges.event_id = events.id
LEFT JOIN charges AS others
  ON events.status = 'refunded' AND others.provider = events.provider AND others.name = events.txn_id
WHERE events.id BETWEEN :first AND :last AND events.meaning = 'succeeded'
  AND events.status IN ('applied', 'refund_due', 'refunded') AND charges.event_id IS NULL AND others.event_id IS NULL
