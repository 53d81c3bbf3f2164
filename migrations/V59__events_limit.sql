-- The most units of one buyer, of all ticket types of the event together; NULL: no limit. It does not change: ticket types have copies.
-- The audit asks by the index whether an event has a limit.
ALTER TABLE events
  ADD COLUMN max_per_buyer INT NULL,
  ADD KEY events_by_limit (max_per_buyer),
  ALGORITHM = INPLACE, LOCK = NONE
