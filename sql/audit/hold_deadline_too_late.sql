-- audit/hold_deadline_too_late: an active hold with a creation time in the future, from a clock that ran ahead, keeps its
-- units for too long
SELECT id, CONCAT('it was made at ', created_at, ' and runs out at ', expires_at)
FROM holds FORCE INDEX (PRIMARY)
WHERE id BETWEEN :first AND :last AND status = 'active' AND created_at > NOW(6) + INTERVAL 5 SECOND
