-- audit/find_page_of_holds: all rows of the last hold are in it, so a page ends between two holds
SELECT COUNT(id), MAX(id)
FROM (SELECT id FROM holds WHERE id >= :first ORDER BY id LIMIT :limit) AS page
