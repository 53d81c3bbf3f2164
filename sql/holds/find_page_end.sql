-- holds/find_page_end: the last hold of the page behind a hold; none when fewer rows follow
SELECT id
FROM holds FORCE INDEX (PRIMARY)
WHERE id > :after
ORDER BY id
LIMIT 1 OFFSET :offset
