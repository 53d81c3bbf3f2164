-- buyer_units/list_over: those of these counters that are over their limits, in the transaction that has just added to them; most
-- have the same limit, and one with its own costs a comparison for each of them
SELECT id, units
FROM buyer_units
WHERE id IN ({ids}) AND units > {limit}
