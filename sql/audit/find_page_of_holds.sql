-- audit/find_page_of_holds: the last hold of the next page; none when the rest of the table is less than a page. All rows
-- of that hold are in the page
SELECT id FROM holds WHERE id >= :first ORDER BY id LIMIT 1 OFFSET :offset
