-- payment_events/set_generated: the ids that the INSERT before it generated: @i, @i + @s, @i + 2 * @s, …; a server reserves
-- those of one INSERT together. The rows that use them are checked before the commit
SET @i = LAST_INSERT_ID(), @s = @@auto_increment_increment
