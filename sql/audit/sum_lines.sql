-- audit/sum_lines: how many holds of a page have rows that differ where the rows of one hold are alike
SELECT COUNT(id)
FROM (
  SELECT id
  FROM holds FORCE INDEX (PRIMARY)
  WHERE id BETWEEN :first AND :last
  GROUP BY id
  HAVING MIN(status) <> MAX(status) OR MIN(expires_at) <> MAX(expires_at) OR MIN(currency) <> MAX(currency)
    OR MIN(changes) <> MAX(changes)
) AS divided
