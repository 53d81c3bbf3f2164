-- audit/sum_charges: the money of a page of charges: how many, of how many nobody said the amount, what is not given
-- back, what is
SELECT status, currency, COUNT(event_id), CAST(SUM(amount_minor IS NULL) AS SIGNED),
       CAST(SUM(COALESCE(amount_minor - refunded_minor, 0)) AS SIGNED), CAST(SUM(refunded_minor) AS SIGNED)
FROM charges
WHERE event_id BETWEEN :first AND :last
GROUP BY status, currency
