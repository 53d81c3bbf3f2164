-- feed_batches/number: gives rows their positions, if they have none
UPDATE feed_batches
SET position = CASE id {cases} END
WHERE id IN ({ids}) AND position IS NULL
