-- feed/advance: takes the next positions, if no other transaction has
UPDATE feed
SET position = position + {items}
WHERE id = 1 AND position = {position}
