-- An event that could not be applied is tried again: `due_at` is when a worker next tries a received event, and when a parked
-- one is given up; `park_until` has the latter from the beginning. Further columns store what the operator accepted, and
-- what helps to understand an event later.
ALTER TABLE payment_events
  ADD COLUMN due_at          DATETIME(6)     NULL DEFAULT CURRENT_TIMESTAMP(6),
  ADD COLUMN park_until      DATETIME(6)     NULL,
  ADD COLUMN attempted_at    DATETIME(6)     NULL,
  ADD COLUMN accepted_amount BOOLEAN         NOT NULL DEFAULT FALSE,
  ADD COLUMN cumulative      BOOLEAN         NOT NULL DEFAULT FALSE,
  ADD COLUMN processing_us   BIGINT          NULL,
  ADD COLUMN headers         VARBINARY(8192) NOT NULL DEFAULT '',
  ADD KEY payment_events_due (status, due_at)
