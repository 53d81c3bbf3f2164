-- product_trail/list_of_change: the products that an earlier attempt of this change has changed, in the order of its rows
SELECT product_id, action
FROM product_trail
WHERE change_id = :change_id
ORDER BY place
