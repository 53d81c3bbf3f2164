-- holds/list_ids: holds by age, the newest first; a hold of several rows comes several times
SELECT id
FROM holds FORCE INDEX (PRIMARY)
WHERE id >= :first AND id < :behind
ORDER BY id DESC
LIMIT :limit
