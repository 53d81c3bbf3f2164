-- holds/list_units: the units of these holds; quantities never change, so a plain read is enough
SELECT id, product_id, qty
FROM holds
WHERE id IN ({ids})
