-- Removes a value.
-- KEYS 1 the value
-- ARGV none
-- Reply: deleted
-- Run twice: what is gone stays so.
redis.call('DEL', KEYS[1])
return reply('deleted')
