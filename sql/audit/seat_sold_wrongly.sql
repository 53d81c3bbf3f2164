-- audit/seat_sold_wrongly: a seat is sold exactly while its order is paid, or refunded and not restocked
SELECT seats.product_id, CONCAT('the seat ', seats.label, IF(seats.sold, ' is sold', ' is not sold'),
         COALESCE(CONCAT(', its order is ', orders.status, IF(orders.restocked, ' and restocked', '')), ' and has no order'))
FROM seats FORCE INDEX (PRIMARY)
LEFT JOIN orders ON orders.hold_id = seats.hold_id
WHERE seats.product_id BETWEEN :first AND :last
  AND seats.sold <> COALESCE(
    seats.hold_id IS NOT NULL AND (orders.status = 'paid' OR orders.status = 'refunded' AND NOT orders.restocked),
    FALSE)
