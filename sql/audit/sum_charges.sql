-- audit/sum_charges: the charges of a page by status and currency: how many there are, how many have no amount, the amount
-- not given back, the amount given back, and how many are inconsistent by themselves
SELECT status, currency, COUNT(event_id), CAST(SUM(amount_minor IS NULL) AS SIGNED),
       CAST(SUM(COALESCE(amount_minor - refunded_minor, 0)) AS SIGNED), CAST(SUM(refunded_minor) AS SIGNED),
       CAST(SUM(COALESCE(refunded_minor > amount_minor, FALSE) OR refunded_minor < 0
         OR (COALESCE(amount_minor, 0) > 0 AND (status = 'refunded') <> (refunded_minor = amount_minor))) AS SIGNED)
FROM charges FORCE INDEX (PRIMARY)
WHERE (provider > :first_provider OR (provider = :first_provider AND name >= :first_name))
  AND (provider < :last_provider OR (provider = :last_provider AND name <= :last_name))
GROUP BY status, currency
