-- readiness/insert_no_holds: inserts no row; fails when the table is missing, locked or read-only, or INSERT is not granted
INSERT INTO holds (id, product_id, qty, unit_price_minor, currency, expires_at)
SELECT id, product_id, qty, unit_price_minor, currency, expires_at
FROM holds
WHERE FALSE
