-- audit/find_page_of_orders: the last order of the next page; none when the rest of the table is less than a page
SELECT id FROM orders WHERE id >= :first ORDER BY id LIMIT 1 OFFSET :offset
