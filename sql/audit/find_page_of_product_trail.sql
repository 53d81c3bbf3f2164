-- audit/find_page_of_product_trail: the last row of the next page; none when the rest of the table is less than a page
SELECT id FROM product_trail WHERE id >= :first ORDER BY id LIMIT 1 OFFSET :offset
