-- orders/extend: a later deadline for an unpaid order, if it is as it was read
UPDATE orders
SET pay_by = :pay_by
WHERE id = :order_id AND status = 'pending' AND pay_by > NOW(6) AND pay_by = :pay_before
