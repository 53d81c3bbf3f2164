-- tickets/redeem: admits with tickets, each once
UPDATE tickets FORCE INDEX (tickets_code)
SET status = 'redeemed', redeemed_at = NOW(6), redeemed_by = {redeemed_by}, redeem_key = {redeem_key}, gate = {gate}
WHERE code IN ({codes}) AND status = 'valid'
