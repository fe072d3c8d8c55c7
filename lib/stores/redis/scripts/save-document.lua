-- Keeps a fetched document for a time, unless one that was fetched later is there.
-- KEYS 1 the document
-- ARGV 1 the document, 2 when it was fetched in ms, 3 its end in ms
-- Reply: saved | older
-- Run twice: writes the same again.
local stop, fetched = (redis.call('GET', KEYS[1]) or ''):match('^(%d+) (%d+) ')
if stop and now < tonumber(stop) and tonumber(fetched) > tonumber(ARGV[2]) then return reply('older') end
local rest = tonumber(ARGV[3]) - now
if rest > 0 then
  redis.call('SET', KEYS[1], ARGV[3] .. ' ' .. ARGV[2] .. ' ' .. ARGV[1], 'PX', string.format('%.0f', rest))
end
return reply('saved')
