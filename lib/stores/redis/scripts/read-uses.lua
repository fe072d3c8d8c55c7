-- Tells how often a token was used. Changes nothing.
-- KEYS 1 the uses
-- ARGV none
-- Reply: found, count
return reply('found', redis.call('HGET', KEYS[1], 'count') or '0')
