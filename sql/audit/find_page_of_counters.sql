-- audit/find_page_of_counters: the last counter of the next page; none when the rest of the table is less than a page
SELECT id FROM buyer_units WHERE id >= :first ORDER BY id LIMIT 1 OFFSET :offset
