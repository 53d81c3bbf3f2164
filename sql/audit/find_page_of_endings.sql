-- audit/find_page_of_endings: the last cancelled event of the next page; none when the rest of the table is less than a page
SELECT event_id
FROM event_cancellations
WHERE event_id >= :first
ORDER BY event_id
LIMIT 1 OFFSET :offset
