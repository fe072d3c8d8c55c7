-- Keeps a new initial access token.
-- KEYS 1 the token
-- ARGV 1 the token, 2 its end in ms, 3 how many uses it has
-- Reply: created
-- Run twice: the second run finds what the first one made.
local rest = tonumber(ARGV[2]) - now
if rest <= 0 or redis.call('HGET', KEYS[1], 'ends') then return reply('created') end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'ends', ARGV[2], 'uses', ARGV[3], 'used', 0)
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', rest))
return reply('created')
