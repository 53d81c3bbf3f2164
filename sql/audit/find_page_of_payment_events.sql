-- audit/find_page_of_payment_events: the last event of the next page; none when the rest of the table is less than a page
SELECT id FROM payment_events WHERE id >= :first ORDER BY id LIMIT 1 OFFSET :offset
