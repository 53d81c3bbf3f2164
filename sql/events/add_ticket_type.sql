-- events/add_ticket_type: counts a new ticket type, if the event takes one more in this currency. Its row stays locked until the
-- commit: an event that is cancelled meanwhile knows all of its types
UPDATE events
SET ticket_types = ticket_types + 1, currency = :currency
WHERE id = :event_id AND cancelled_at IS NULL AND ticket_types < :most AND COALESCE(currency = :currency, TRUE)
