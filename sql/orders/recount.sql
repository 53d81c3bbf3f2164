-- orders/recount: locks orders whose units are out, so that none gives them back before they are counted
UPDATE orders FORCE INDEX (PRIMARY)
SET recounts = recounts + 1
WHERE id IN ({ids}) AND (status IN ('pending', 'paid') OR status = 'refunded' AND NOT restocked)
