-- Takes one off a counter, where its window is still the same.
-- KEYS 1 the counter
-- ARGV 1 end of the window in ms, 2 nonce of this giving back
-- Reply: returned | unknown
-- Run twice: the second run, if it comes next, takes nothing off.
local counter = redis.call('HMGET', KEYS[1], 'count', 'ends', 'nonce')
if counter[3] == ARGV[2] then return reply('returned') end
if counter[2] ~= ARGV[1] or tonumber(counter[1]) < 1 then return reply('unknown') end
redis.call('HSET', KEYS[1], 'count', tonumber(counter[1]) - 1, 'nonce', ARGV[2])
return reply('returned')
