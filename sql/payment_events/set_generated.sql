-- payment_events/set_generated: the ids that the batch before it got: @i, @i + @s, @i + 2 * @s, …; a server gives those of
-- one INSERT at once. What is written with them is looked at before it is committed
SET @i = LAST_INSERT_ID(), @s = @@auto_increment_increment
