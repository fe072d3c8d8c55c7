-- Takes one place of so many, or prolongs the one that is held; never shortens it.
-- KEYS 1 the places
-- ARGV 1 who takes it, 2 its end in ms, 3 how many there are
-- Reply: taken | full
-- Run twice: the second run finds the place held, for as long.
local rest = tonumber(ARGV[2]) - now
if rest <= 0 then return reply('taken') end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
local is_new = redis.call('ZADD', KEYS[1], 'GT', ARGV[2], ARGV[1]) == 1
if is_new and redis.call('ZCARD', KEYS[1]) > tonumber(ARGV[3]) then
  redis.call('ZREM', KEYS[1], ARGV[1])
  return reply('full')
end
if redis.call('PTTL', KEYS[1]) < rest then redis.call('PEXPIRE', KEYS[1], string.format('%.0f', rest)) end
return reply('taken')
