-- Enters an initial access token into the list of all, where there is room.
-- KEYS 1 the list
-- ARGV 1 id of the token, 2 its end in ms, 3 the most tokens
-- Reply: entered | full
-- Run twice: the second run finds the entry.
local rest = tonumber(ARGV[2]) - now
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
local known = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[2], ARGV[2])
for _, id in ipairs(known) do
  if id == ARGV[1] then return reply('entered') end
end
local last = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '+inf', 'LIMIT', tonumber(ARGV[3]) - 1, 1)
if #last > 0 then return reply('full') end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
if redis.call('PTTL', KEYS[1]) < rest then redis.call('PEXPIRE', KEYS[1], string.format('%.0f', rest)) end
return reply('entered')
