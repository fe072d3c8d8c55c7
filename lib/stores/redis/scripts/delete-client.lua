-- Deletes a client, and marks its id where that would describe it again.
-- KEYS 1 the client, 2 the mark of its id
-- ARGV 1 nonce of this deletion, 2 end of the mark in ms, or empty
-- Reply: deleted | unknown
-- Run twice: the deleter's own second run finds it deleted.
local mark = tonumber(ARGV[2]) and tonumber(ARGV[2]) - now
local existing = redis.call('GET', KEYS[1])
local revision, stop = (existing or ''):match('^(%S+) (%d*) ')
if stop and stop ~= '' and now >= tonumber(stop) then revision = nil end
local marker, marked_until = (redis.call('GET', KEYS[2]) or ''):match('^(%S+) (%d+)$')
if not revision then
  if marker == ARGV[1] then return reply('deleted') end
  if (marker and now < tonumber(marked_until)) or not mark or mark <= 0 then return reply('unknown') end
end
if mark and mark > 0 then
  -- The mark first: without memory to write in nothing is deleted, rather than deleted and back again.
  redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. ARGV[2], 'PX', string.format('%.0f', mark))
else
  -- Without memory to write in, the client goes all the same; only a second run would not know that it was the first.
  redis.pcall('SET', KEYS[2], ARGV[1] .. ' ' .. string.format('%.0f', now + 10000), 'PX', 10000)
end
redis.call('DEL', KEYS[1])
return reply('deleted')
