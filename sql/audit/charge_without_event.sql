-- audit/charge_without_event: the owner of a charge is a success that names this charge
SELECT charges.event_id, CONCAT('a charge that is ', charges.status, ' belongs to ', CASE
         WHEN events.id IS NULL THEN 'no event'
         WHEN events.meaning <> 'succeeded' THEN 'an event that took no money'
         ELSE 'an event of another charge' END)
FROM charges
LEFT JOIN payment_events AS events ON events.id = charges.event_id
WHERE (charges.provider > :first_provider OR (charges.provider = :first_provider AND charges.name >= :first_name))
  AND (charges.provider < :last_provider OR (charges.provider = :last_provider AND charges.name <= :last_name))
  AND (events.id IS NULL OR events.meaning <> 'succeeded' OR events.provider <> charges.provider
    OR charges.name <> COALESCE(events.txn_id, CONCAT(0x1f, events.idempotency_key)))
