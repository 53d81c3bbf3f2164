-- due_refunds/insert: money of charges that is to be given back for an event; the unique key lets each charge have it once
INSERT INTO due_refunds (charge_event_id, event_id, order_id, amount_minor, until_minor, currency)
VALUES {rows}
