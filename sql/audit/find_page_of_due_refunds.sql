-- audit/find_page_of_due_refunds: the last charge of the next page; none when the rest of the table is less than a page
SELECT charge_event_id
FROM due_refunds
WHERE charge_event_id >= :first
ORDER BY charge_event_id, event_id
LIMIT 1 OFFSET :offset
