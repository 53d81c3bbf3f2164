-- holds/list_units: the units of these holds. The caller has just ended them or their orders, or they are ordered: only the
-- quantities of an active hold change, so a plain read is enough
SELECT id, product_id, qty
FROM holds
WHERE id IN ({ids})
