-- seats/list: all seats of a ticket type, to which others are added
SELECT n, section, row_name, label, row_n, place
FROM seats FORCE INDEX (PRIMARY)
WHERE product_id = :product_id
