-- Adds one to a counter in its window.
-- KEYS 1 the counter
-- ARGV 1 ms of the window, 2 nonce of this count
-- Reply: counted, count, end of the window in ms
-- Run twice: the second run, if it comes next, counts nothing.
local counter = redis.call('HMGET', KEYS[1], 'count', 'ends', 'nonce')
local count, ends = tonumber(counter[1] or '0'), tonumber(counter[2] or '0')
if now >= ends then count, ends = 0, now + tonumber(ARGV[1]) end
if counter[3] ~= ARGV[2] then
  count = count + 1
  redis.call('HSET', KEYS[1], 'count', count, 'ends', string.format('%.0f', ends), 'nonce', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ends - now))
end
return reply('counted', string.format('%.0f', count), string.format('%.0f', ends))
