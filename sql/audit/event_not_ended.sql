-- audit/event_not_ended: a cancelled event and its ticket types say so, and nothing of a finished one is held,
-- waits for payment or admits
SELECT endings.event_id,
       CASE WHEN events.cancelled_at IS NULL THEN 'its end began, and it is not cancelled'
            WHEN types.cancelled_at IS NULL THEN CONCAT('its ticket type ', types.id, ' is not cancelled')
            ELSE CONCAT('its end is in the stage ', endings.stage, ', and units of its ticket type ', types.id, ' are held or admit') END
FROM event_cancellations AS endings
LEFT JOIN events ON events.id = endings.event_id
LEFT JOIN products AS types FORCE INDEX (products_by_event) ON types.event_id = endings.event_id AND types.kind IS NOT NULL
WHERE endings.event_id BETWEEN :first AND :last
  AND (events.cancelled_at IS NULL OR types.id IS NOT NULL AND types.cancelled_at IS NULL
    OR endings.stage <> 'holds' AND 0 < (
      SELECT COUNT(holds.id)
      FROM holds FORCE INDEX (holds_returning)
      WHERE holds.product_id = types.id AND holds.returns_at IS NOT NULL)
    OR endings.stage = 'finished' AND 0 < (
      SELECT COUNT(tickets.unit)
      FROM tickets FORCE INDEX (tickets_of_event)
      WHERE tickets.event_id = endings.event_id AND tickets.status IN ('valid', 'redeemed') AND tickets.product_id = types.id))
