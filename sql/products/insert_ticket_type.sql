-- products/insert_ticket_type: a new ticket type, with the terms that it has of its event; a sku that exists adds no affected row
INSERT INTO products (sku, name, price_minor, currency, status, sale_starts_at, sale_ends_at, hold_ttl_seconds,
                      order_ttl_seconds, max_qty, max_per_buyer, max_hold_seconds, metadata, stock, limit_state, event_id, kind,
                      event_sale_starts_at, event_sale_ends_at, event_max_per_buyer)
VALUES {rows}
ON DUPLICATE KEY UPDATE id = products.id
