-- audit/hold_without_product: the product of a hold exists; no foreign key ensures that
SELECT holds.id, CONCAT('there is no product ', product_id)
FROM holds
LEFT JOIN products ON products.id = holds.product_id
WHERE holds.id BETWEEN :first AND :last AND products.id IS NULL
