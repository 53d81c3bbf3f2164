-- audit/list_counters: the units of a page of counters
SELECT id, units
FROM buyer_units FORCE INDEX (PRIMARY)
WHERE id BETWEEN :first AND :last
