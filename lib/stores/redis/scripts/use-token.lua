-- Counts a use of a token that may be used so many times.
-- KEYS 1 the uses
-- ARGV 1 the most uses, 2 their end in ms, 3 nonce of this use
-- Reply: used | exhausted
-- Run twice: the second run, if it comes next, counts nothing.
local uses = redis.call('HMGET', KEYS[1], 'count', 'nonce')
local count = tonumber(uses[1] or '0')
if uses[2] == ARGV[3] then return reply('used') end
local rest = tonumber(ARGV[2]) - now
if count >= tonumber(ARGV[1]) or rest <= 0 then return reply('exhausted') end
redis.call('HSET', KEYS[1], 'count', count + 1, 'nonce', ARGV[3])
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', rest))
return reply('used')
