-- charges/note_due: due refunds of charges, if as much of each was given back, and it had as many due refunds, as when they were
-- computed. A refund that comes later settles them
UPDATE charges FORCE INDEX (charges_event)
SET due_refunds = due_refunds + 1
WHERE event_id IN ({ids}) AND status = 'paid' AND refunded_minor = CASE event_id {refunded} END AND due_refunds = CASE event_id {due} END
