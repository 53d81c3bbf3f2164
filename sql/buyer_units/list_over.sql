-- buyer_units/list_over: those of these counters that are over their limits, in the transaction that has just added to them
SELECT id, units
FROM buyer_units
WHERE id IN ({ids}) AND units > CASE id {cases} END
