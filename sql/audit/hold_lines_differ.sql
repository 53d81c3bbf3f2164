-- audit/hold_lines_differ: a hold changes and ends as a whole: its rows have one state, one deadline, one currency and one number
-- of changes
SELECT id, CONCAT('its ', COUNT(id), ' rows are ', MIN(status), ' to ', MAX(status), ', until ', MIN(expires_at), ' to ',
                  MAX(expires_at), ', in ', MIN(currency), ' to ', MAX(currency), ', changed ', MIN(changes), ' to ',
                  MAX(changes), ' times')
FROM holds FORCE INDEX (PRIMARY)
WHERE id BETWEEN :first AND :last
GROUP BY id
HAVING MIN(status) <> MAX(status) OR MIN(expires_at) <> MAX(expires_at) OR MIN(currency) <> MAX(currency)
  OR MIN(changes) <> MAX(changes)
