-- audit/find_page_of_tickets: the order of the last ticket of the next page; none when the rest of the table is less than a page. All
-- tickets of that order are in the page
SELECT order_id FROM tickets FORCE INDEX (PRIMARY) WHERE order_id >= :first ORDER BY order_id, product_id, unit, issue LIMIT 1 OFFSET :offset
