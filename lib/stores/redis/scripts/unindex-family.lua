-- Takes a family or a client out of a list.
-- KEYS 1 the list
-- ARGV 1 id of the family or hash of the client's
-- Reply: removed
-- Run twice: removes nothing more.
redis.call('ZREM', KEYS[1], ARGV[1])
return reply('removed')
