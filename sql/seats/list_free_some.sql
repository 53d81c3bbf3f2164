-- seats/list_free_some: as seats/list_free, of the seats that requests name
SELECT n
FROM seats FORCE INDEX (PRIMARY)
WHERE product_id = {product_id} AND n IN ({seats}) AND hold_id IS NULL
