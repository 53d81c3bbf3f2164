-- holds/find_any: one of the holds of a product, if there is any
SELECT id
FROM holds FORCE INDEX (holds_returning)
WHERE product_id = :product_id
LIMIT 1
