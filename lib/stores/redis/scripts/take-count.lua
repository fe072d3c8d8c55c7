-- Adds one to a counter in its window, where the limit allows one more.
-- KEYS 1 the counter
-- ARGV 1 ms of the window, 2 the limit, 3 nonce of this count
-- Reply: taken | full, end of the window in ms
-- Run twice: the second run, if it comes next, counts nothing and says the same.
local counter = redis.call('HMGET', KEYS[1], 'count', 'ends', 'nonce')
local count, ends = tonumber(counter[1] or '0'), tonumber(counter[2] or '0')
if now >= ends then count, ends = 0, now + tonumber(ARGV[1]) end
local stop = string.format('%.0f', ends)
if counter[3] == ARGV[3] then return reply('taken', stop) end
if count >= tonumber(ARGV[2]) then return reply('full', stop) end
redis.call('HSET', KEYS[1], 'count', count + 1, 'ends', stop, 'nonce', ARGV[3])
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ends - now))
return reply('taken', stop)
