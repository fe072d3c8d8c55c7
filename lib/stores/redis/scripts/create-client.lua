-- Keeps a new client.
-- KEYS 1 the client
-- ARGV 1 the client, 2 nonce of this creation
-- Reply: created | exists
-- Run twice: the creator's own second run finds it created.
local existing = redis.call('HMGET', KEYS[1], 'client', 'nonce')
if existing[1] then return reply(existing[2] == ARGV[2] and 'created' or 'exists') end
redis.call('HSET', KEYS[1], 'client', ARGV[1], 'nonce', ARGV[2])
return reply('created')
