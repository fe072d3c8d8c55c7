-- Reads the key ring. Changes nothing.
-- KEYS 1 the ring
-- ARGV 1 revision that is known, 2 its tip
-- Reply: unchanged | found, revision, tip, issuer, keys
local ring = redis.call('HMGET', KEYS[1], 'revision', 'tip', 'issuer', 'keys')
if (ring[1] or '0') == ARGV[1] and (ring[2] or '') == ARGV[2] then return reply('unchanged') end
return reply('found', ring[1] or '0', ring[2] or '', ring[3] or '', ring[4] or '[]')
