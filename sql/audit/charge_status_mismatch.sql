-- audit/charge_status_mismatch: a charge and the event that owns it tell the same
SELECT charges.event_id, CONCAT('its charge is ', charges.status, ', the event is ', events.status)
FROM charges
JOIN payment_events AS events ON events.id = charges.event_id
WHERE charges.event_id BETWEEN :first AND :last
  AND NOT CASE charges.status
    WHEN 'paid' THEN events.status = 'applied'
    WHEN 'refund_due' THEN events.status = 'refund_due'
    ELSE events.status IN ('applied', 'refunded') END
