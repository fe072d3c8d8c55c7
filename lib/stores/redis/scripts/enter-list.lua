-- Adds an id to a list: a family's to one of its owner's, a client's to that of all; forgets what is over, and keeps the list as long as its longest entry.
-- KEYS 1 the list
-- ARGV 1 the id, of a client a hash of it, 2 ms for which the entry stays
-- Reply: indexed
-- Run twice: moves the entry by the time between.
local stays = tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
redis.call('ZADD', KEYS[1], string.format('%.0f', now + stays), ARGV[1])
if redis.call('PTTL', KEYS[1]) < stays then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return reply('indexed')
