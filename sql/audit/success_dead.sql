-- audit/success_dead: money was taken, and no worker applies it any more
SELECT id, CONCAT('money was taken and the event is dead after ', attempts, ' attempts; replay it')
FROM payment_events
WHERE id BETWEEN :first AND :last AND meaning = 'succeeded' AND status = 'dead'
