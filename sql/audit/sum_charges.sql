-- audit/sum_charges: the money of a page of charges: how many, of how many nobody said the amount, what is not given
-- back, what is, and how many do not add up by themselves
SELECT status, currency, COUNT(event_id), CAST(SUM(amount_minor IS NULL) AS SIGNED),
       CAST(SUM(COALESCE(amount_minor - refunded_minor, 0)) AS SIGNED), CAST(SUM(refunded_minor) AS SIGNED),
       CAST(SUM(COALESCE(refunded_minor > amount_minor, FALSE) OR refunded_minor < 0
         OR (COALESCE(amount_minor, 0) > 0 AND (status = 'refunded') <> (refunded_minor = amount_minor))) AS SIGNED)
FROM charges FORCE INDEX (PRIMARY)
WHERE (provider > :first_provider OR (provider = :first_provider AND name >= :first_name))
  AND (provider < :last_provider OR (provider = :last_provider AND name <= :last_name))
GROUP BY status, currency
