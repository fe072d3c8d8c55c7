-- Reads what a subject allowed a client. Changes nothing.
-- KEYS 1 the subject's consents
-- ARGV 1 the client, hashed
-- Reply: found, end in ms and lines of resource and scope | unknown
local lines = redis.call('HGET', KEYS[1], ARGV[1])
if not lines or now >= tonumber(lines:match('^%d+')) then return reply('unknown') end
return reply('found', lines)
