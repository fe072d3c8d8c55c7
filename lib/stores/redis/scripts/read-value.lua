-- Reads a value. Changes nothing.
-- KEYS 1 the value
-- ARGV none
-- Reply: found, value | unknown
local value = redis.call('GET', KEYS[1])
local stop, text = (value or ''):match('^(%d+) (.*)$')
if not stop or now >= tonumber(stop) then return reply('unknown') end
return reply('found', text)
