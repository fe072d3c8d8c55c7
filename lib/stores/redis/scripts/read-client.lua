-- Reads a client. Changes nothing.
-- KEYS 1 the client
-- ARGV none
-- Reply: found, client | unknown
local client = redis.call('HGET', KEYS[1], 'client')
if not client then return reply('unknown') end
return reply('found', client)
