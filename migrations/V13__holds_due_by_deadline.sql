-- Due holds are found by the buyer's deadline, which never changes: a payment that clears `returns_at` then moves one index
-- entry instead of two.
ALTER TABLE holds
  DROP KEY holds_due,
  ADD KEY holds_due (status, expires_at)
