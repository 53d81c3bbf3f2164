-- audit/find_page_of_seats: the last ticket type of the next page; none when the rest of the table is less than a page. All seats of
-- that type are in the page
SELECT product_id FROM seats FORCE INDEX (PRIMARY) WHERE product_id >= :first ORDER BY product_id, n LIMIT 1 OFFSET :offset
