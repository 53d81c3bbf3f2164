-- audit/sum_counters: the units of a page of counters, and the same weighed by the counters' ids
SELECT CAST(COALESCE(SUM(units), 0) AS SIGNED), CAST(COALESCE(SUM(units * CAST(CRC32(id) AS SIGNED)), 0) AS SIGNED)
FROM buyer_units FORCE INDEX (PRIMARY)
WHERE id BETWEEN :first AND :last
