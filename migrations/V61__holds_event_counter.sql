-- The counter that has the units of this row for the event, from the hold until the units are back on sale. NULL: they are not
-- counted.
ALTER TABLE holds
  ADD COLUMN event_counted_on BINARY(16) NULL,
  ALGORITHM = INSTANT
