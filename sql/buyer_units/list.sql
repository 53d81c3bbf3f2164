-- buyer_units/list: the units of these counters; one that is not there has none
SELECT id, units
FROM buyer_units
WHERE id IN ({ids})
