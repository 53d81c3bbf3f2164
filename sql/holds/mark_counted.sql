-- holds/mark_counted: counters have the units of these holds from now on; a row that has a counter already, or has left this
-- state, or has other units, does not change
UPDATE holds FORCE INDEX (PRIMARY)
SET counted_on = CASE id {cases} END
WHERE id IN ({ids}) AND product_id = {product_id} AND counted_on IS NULL AND status = {status}
  AND qty = CASE id {units} END
