-- audit/find_tickets: no row when there is no ticket type: then no order lacks a ticket
SELECT event_id FROM products FORCE INDEX (products_by_event) WHERE event_id IS NOT NULL LIMIT 1
