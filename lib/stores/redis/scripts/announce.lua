-- Says that an instance is there and how it is set up, and tells of those that were lately.
-- KEYS 1 the instances by when they were there
-- ARGV 1 the instance and its settings, 2 ms for which it counts as there
-- Reply: announced, instance and settings, ...
-- Run twice: says the same again.
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - tonumber(ARGV[2])))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return reply('announced', unpack(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '+inf', 'LIMIT', 0, 1000)))
