-- Reads an initial access token. Changes nothing.
-- KEYS 1 the token
-- ARGV none
-- Reply: found, token, uses that are taken | unknown
local record = redis.call('HMGET', KEYS[1], 'token', 'ends', 'used')
if not record[1] or now >= tonumber(record[2]) then return reply('unknown') end
return reply('found', record[1], record[3])
