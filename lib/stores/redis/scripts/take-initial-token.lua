-- Takes one use of an initial access token: of any number of takers as many succeed as there are uses.
-- KEYS 1 the token; beside its own fields it has those of the last minute's takings, by nonce: when, and + once given back
-- ARGV 1 nonce of this taking
-- Reply: taken | spent | unknown
-- Run twice: the second run finds that this taking took.
local record = redis.call('HMGET', KEYS[1], 'ends', 'uses', 'used', ':' .. ARGV[1])
if not record[1] or now >= tonumber(record[1]) then return reply('unknown') end
if record[4] then return reply('taken') end
local used = tonumber(record[3])
if used >= tonumber(record[2]) then return reply('spent') end
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  if fields[i]:sub(1, 1) == ':' and tonumber(fields[i + 1]:match('%d+')) < now - 60000 then
    redis.call('HDEL', KEYS[1], fields[i])
  end
end
redis.call('HSET', KEYS[1], 'used', used + 1, ':' .. ARGV[1], string.format('%.0f', now))
return reply('taken')
