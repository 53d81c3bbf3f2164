-- holds/reduce: a hold keeps fewer units, if it is as it was read; every row counts the change, whether it keeps its units or not
UPDATE holds FORCE INDEX (PRIMARY)
SET qty = CASE product_id {cases} ELSE qty END, changes = changes + 1
WHERE id = {hold_id} AND status = 'active' AND expires_at > NOW(6) AND changes = {changes}
