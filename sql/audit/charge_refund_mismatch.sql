-- audit/charge_refund_mismatch: a charge is refunded exactly when all of it was given back, and never more than that; a
-- charge of 0 fits both states
SELECT event_id, CONCAT('a charge of ', amount_minor, ' that is ', status, ' was given back to ', refunded_minor)
FROM charges
WHERE (provider > :first_provider OR (provider = :first_provider AND name >= :first_name))
  AND (provider < :last_provider OR (provider = :last_provider AND name <= :last_name))
  AND (refunded_minor > amount_minor OR refunded_minor < 0
    OR (amount_minor > 0 AND (status = 'refunded') <> (refunded_minor = amount_minor)))
