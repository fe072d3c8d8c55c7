-- Forgets what a subject allowed a client, or anybody.
-- KEYS 1 the subject's consents
-- ARGV 1 the client, hashed, or empty: all clients
-- Reply: forgotten
-- Run twice: forgets nothing more.
if ARGV[1] == '' then redis.call('DEL', KEYS[1]) else redis.call('HDEL', KEYS[1], ARGV[1]) end
return reply('forgotten')
