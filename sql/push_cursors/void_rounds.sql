-- push_cursors/void_rounds: rounds that are under way count no more, nor what instances remember: positions may be those of other
-- events. It runs when the feed has lost positions
UPDATE push_cursors
SET rounds = rounds + 1
