-- Reads a client. Changes nothing.
-- KEYS 1 the client
-- ARGV none
-- Reply: found, client | unknown
local client = redis.call('GET', KEYS[1])
if not client then return reply('unknown') end
return reply('found', client:sub(client:find(' ', 1, true) + 1))
