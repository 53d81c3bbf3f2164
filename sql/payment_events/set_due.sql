-- payment_events/set_due: when the events of a batch are due again (@d), which also identifies the batch
SET @d = NOW(6) + INTERVAL {pause_us} MICROSECOND
