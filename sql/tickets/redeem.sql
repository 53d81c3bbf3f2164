-- tickets/redeem: admits with a ticket, once
UPDATE tickets FORCE INDEX (tickets_code)
SET status = 'redeemed', redeemed_at = NOW(6), redeemed_by = {redeemed_by}, redeem_key = {redeem_key}, gate = {gate}
WHERE code = {code} AND status = 'valid'
