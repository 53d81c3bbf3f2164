-- products/note_counted: how far the units of a product are counted, if it still has the limit and the state that the step began
-- with
UPDATE products
SET limit_state = :limit_state, limit_counted_to = :limit_counted_to
WHERE id = :product_id AND max_per_buyer <=> :max_per_buyer AND limit_state <=> :old_limit_state
  AND limit_counted_to <=> :old_limit_counted_to
