-- holds/settle: the orders of these holds were paid or cancelled, so their units do not come back by themselves any more
UPDATE holds FORCE INDEX (PRIMARY)
SET returns_at = NULL
WHERE id IN ({ids}) AND status = 'ordered' AND returns_at IS NOT NULL
