-- orders/refund: of the charge that paid it, so much was given back until now; all of it makes it refunded
UPDATE orders
SET status = :status, refunded_minor = :refunded_minor, refunded_currency = :refunded_currency,
    restocked = :restocked
WHERE id = :order_id AND status = 'paid' AND refunded_minor = :refunded_before
