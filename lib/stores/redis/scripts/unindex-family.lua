-- Takes a family out of a list of its owner's.
-- KEYS 1 the list
-- ARGV 1 id of the family
-- Reply: removed
-- Run twice: removes nothing more.
redis.call('ZREM', KEYS[1], ARGV[1])
return reply('removed')
