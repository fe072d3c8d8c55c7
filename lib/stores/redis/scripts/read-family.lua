-- Reads a family. Changes nothing.
-- KEYS 1 the family
-- ARGV none
-- Reply: found, record | unknown
local record = redis.call('GET', KEYS[1])
if not record then return reply('unknown') end
return reply('found', record)
