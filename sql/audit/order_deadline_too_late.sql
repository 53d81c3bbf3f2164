-- audit/order_deadline_too_late: as audit/hold_deadline_too_late, for a pending order
SELECT id, CONCAT('it was made at ', created_at, ' and is to be paid by ', pay_by)
FROM orders FORCE INDEX (PRIMARY)
WHERE id BETWEEN :first AND :last AND status = 'pending' AND created_at > NOW(6) + INTERVAL 5 SECOND
