-- audit/seat_without_hold: the hold of a seat names it in its row of the ticket type, and its units are not back on sale
SELECT seats.product_id, CONCAT('the seat ', seats.label, ' is in the hold ', LOWER(HEX(seats.hold_id)),
         IF(holds.id IS NULL, ', which has no row of the ticket type',
            CONCAT(', which is ', holds.status, COALESCE(CONCAT(', its order is ', orders.status), ''), ', and has the seats ',
                   COALESCE(REPLACE(holds.seats, x'0A', ', '), '(none)'))))
FROM seats FORCE INDEX (PRIMARY)
LEFT JOIN holds FORCE INDEX (PRIMARY) ON holds.id = seats.hold_id AND holds.product_id = seats.product_id
LEFT JOIN orders ON orders.hold_id = seats.hold_id
WHERE seats.product_id BETWEEN :first AND :last AND seats.hold_id IS NOT NULL
  AND NOT COALESCE(
    LOCATE(CONCAT(x'0A', seats.label, x'0A'), CONCAT(x'0A', holds.seats, x'0A')) > 0
      AND (holds.status = 'active' OR orders.status IN ('pending', 'paid') OR orders.status = 'refunded' AND NOT orders.restocked),
    FALSE)
