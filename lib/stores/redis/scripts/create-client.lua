-- Keeps a new client.
-- KEYS 1 the client
-- ARGV 1 the client, 2 nonce of this creation
-- Reply: created | exists
-- Run twice: the creator's own second run finds it created.
local existing = redis.call('GET', KEYS[1])
local is_ours = existing and existing:sub(1, #ARGV[2]) == ARGV[2]
if existing then return reply(is_ours and 'created' or 'exists') end
redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. ARGV[1])
return reply('created')
