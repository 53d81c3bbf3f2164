-- Finds the ticket types of an event. Holds do not change this index.
ALTER TABLE products
  ADD KEY products_by_event (event_id),
  ALGORITHM = INPLACE, LOCK = NONE
