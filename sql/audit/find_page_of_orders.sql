-- audit/find_page_of_orders: where the next page of orders ends, and how many it has
SELECT COUNT(id), MAX(id)
FROM (SELECT id FROM orders WHERE id >= :first ORDER BY id LIMIT :limit) AS page
