-- payment_events/set_due: when the events of a batch are due again (@d), which also tells this batch from that of another worker
SET @d = NOW(6) + INTERVAL {pause_us} MICROSECOND
