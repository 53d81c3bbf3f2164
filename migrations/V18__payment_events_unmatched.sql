-- Adds the state `unmatched`: an event that names no order or hold of this shop. The new value is the last one of the
-- list, so both engines change the table's description alone, without reading a row.
ALTER TABLE payment_events
  MODIFY COLUMN status ENUM('received', 'parked', 'applied', 'ignored', 'quarantined', 'refund_due', 'refunded', 'dead',
                            'unmatched')
                CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'received',
  ALGORITHM = INSTANT
