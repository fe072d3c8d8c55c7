-- Takes an id out of a list.
-- KEYS 1 the list
-- ARGV 1 the id, of a client a hash of it
-- Reply: removed
-- Run twice: removes nothing more.
redis.call('ZREM', KEYS[1], ARGV[1])
return reply('removed')
