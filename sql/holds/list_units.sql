-- holds/list_units: what these holds speak for; quantities never change, so a plain read is enough
SELECT id, product_id, qty
FROM holds
WHERE id IN ({ids})
