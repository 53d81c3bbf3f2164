-- audit/find_page_of_endpoints: the last row of the next page of endpoints; none when the rest of the table is less than a page
SELECT id FROM endpoints WHERE id >= :first ORDER BY id LIMIT 1 OFFSET :offset
