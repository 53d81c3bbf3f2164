-- Orders that were refunded before the amount was stored: always in full, and restocked if the refund event says so.
UPDATE orders
SET refunded_minor = total_minor,
    restocked = EXISTS (
      SELECT 1 FROM order_events
      JOIN payment_events ON payment_events.id = order_events.payment_event_id
      WHERE order_events.order_id = orders.id AND order_events.to_status = 'refunded' AND payment_events.restock)
WHERE status = 'refunded' AND refunded_minor = 0
