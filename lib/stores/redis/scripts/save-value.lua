-- Keeps a value for a time.
-- KEYS 1 the value
-- ARGV 1 the value, 2 its end in ms
-- Reply: saved
-- Run twice: writes the same again.
local rest = tonumber(ARGV[2]) - now
if rest > 0 then redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. ARGV[1], 'PX', string.format('%.0f', rest)) end
return reply('saved')
