-- audit/hold_returns_wrongly: units come back at the deadline of the active hold or of its pending order, and never when
-- they are sold or already back
SELECT holds.id, CONCAT('units of a hold that is ', holds.status, COALESCE(CONCAT(', its order ', orders.status), ''),
                        ', come back ', COALESCE(CONCAT('at ', returns_at), 'never'))
FROM holds
LEFT JOIN orders ON orders.hold_id = holds.id
WHERE holds.id BETWEEN :first AND :last
  AND NOT (returns_at <=> CASE
    WHEN holds.status = 'active' THEN expires_at
    WHEN holds.status = 'ordered' AND orders.status = 'pending' THEN pay_by END)
