-- Whether the transaction of a transition told the feed of it, which the audit compares. NULL: an older version made the transition.
ALTER TABLE order_events
  ADD COLUMN told BOOLEAN NULL,
  ALGORITHM = INSTANT
