-- Lets a place end at some time at the latest.
-- KEYS 1 the places
-- ARGV 1 who holds it, 2 its end in ms
-- Reply: shortened
-- Run twice: shortens nothing more.
redis.call('ZADD', KEYS[1], 'XX', 'LT', ARGV[2], ARGV[1])
return reply('shortened')
