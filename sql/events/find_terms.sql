-- events/find_terms: what a ticket type has of its event, and why the event takes no more ticket types or seats
SELECT id, sale_starts_at, sale_ends_at, max_per_buyer, cancelled_at, currency, ticket_types, seats
FROM events
WHERE id = :event_id
