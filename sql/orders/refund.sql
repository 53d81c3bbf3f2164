-- orders/refund: the amount given back so far of the charge that paid the order; all of it makes the order refunded
UPDATE orders
SET status = :status, refunded_minor = :refunded_minor, refunded_currency = :refunded_currency,
    restocked = :restocked
WHERE id = :order_id AND status = 'paid' AND refunded_minor = :refunded_before
