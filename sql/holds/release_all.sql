-- holds/release_all: the holds that carts replace, before their units are given back; one that has ended is not changed
UPDATE holds FORCE INDEX (PRIMARY)
SET status = 'released', returns_at = NULL
WHERE id IN ({ids}) AND status = 'active' AND expires_at > NOW(6)
