-- readiness/insert_no_charges: inserts no row; fails when the table is missing, locked or read-only, or INSERT is not granted
INSERT INTO charges (provider, name, event_id, status)
SELECT provider, name, event_id, status
FROM charges
WHERE FALSE
