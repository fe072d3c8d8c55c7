-- Adds an entry to the revocation log and hints that there is one. The newest entry always stays: it proves the place.
-- KEYS 1 the entries by revision, 2 the revisions by the end of their entries, 3 the place
-- ARGV 1 the entry, 2 its end in ms, 3 tip: nonce of this entry, 4 the channel of the hint
-- Reply: appended, revision
-- Run twice: the second run finds its tip and gets the same revision; after another's entry the entry is there twice.
local place = redis.call('HMGET', KEYS[3], 'revision', 'tip')
if place[2] == ARGV[3] then return reply('appended', place[1]) end
local revision = tonumber(place[1] or '0') + 1
local text = string.format('%.0f', revision)
redis.call('ZADD', KEYS[1], text, ARGV[3] .. ' ' .. ARGV[2] .. ' ' .. ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[2], text)
redis.call('HSET', KEYS[3], 'revision', text, 'tip', ARGV[3])
local over = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now), 'LIMIT', 0, 100)
for _, old in ipairs(over) do
  if old ~= text then
    redis.call('ZREMRANGEBYSCORE', KEYS[1], old, old)
    redis.call('ZREM', KEYS[2], old)
  end
end
redis.call('PUBLISH', ARGV[4], text)
return reply('appended', text)
