-- Gives back a use of an initial access token that was taken within the last minute.
-- KEYS 1 the token
-- ARGV 1 nonce of that taking
-- Reply: returned | unknown
-- Run twice: the second run finds it returned, and counts nothing.
local record = redis.call('HMGET', KEYS[1], 'used', ':' .. ARGV[1])
if not record[1] or not record[2] or tonumber(record[2]:match('%d+')) < now - 60000 then return reply('unknown') end
if record[2]:sub(-1) == '+' then return reply('returned') end
redis.call('HSET', KEYS[1], 'used', tonumber(record[1]) - 1, ':' .. ARGV[1], record[2] .. '+')
return reply('returned')
