-- audit/find_page_of_order_events: the last transition of the next page; none when the rest of the table is less than a page
SELECT id FROM order_events WHERE id >= :first ORDER BY id LIMIT 1 OFFSET :offset
