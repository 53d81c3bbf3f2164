-- audit/hold_without_product: there is no foreign key to the hot table
SELECT holds.id, CONCAT('there is no product ', product_id)
FROM holds
LEFT JOIN products ON products.id = holds.product_id
WHERE holds.id BETWEEN :first AND :last AND products.id IS NULL
