-- seats/list: all seats of a ticket type: others are added to them, or requests name them
SELECT n, section, row_name, label, row_n, place, row_rank
FROM seats FORCE INDEX (PRIMARY)
WHERE product_id = :product_id
