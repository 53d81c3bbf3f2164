-- audit/charge_status_mismatch: the states of a charge and of the event that owns it agree
SELECT charges.event_id, CONCAT('its charge is ', charges.status, ', the event is ', events.status)
FROM charges
JOIN payment_events AS events ON events.id = charges.event_id
WHERE (charges.provider > :first_provider OR (charges.provider = :first_provider AND charges.name >= :first_name))
  AND (charges.provider < :last_provider OR (charges.provider = :last_provider AND charges.name <= :last_name))
  AND NOT CASE charges.status
    WHEN 'paid' THEN events.status = 'applied'
    WHEN 'refund_due' THEN events.status = 'refund_due'
    ELSE events.status IN ('applied', 'refunded') END
