-- Replaces the key ring where it is still the expected one. It has no end.
-- KEYS 1 the ring
-- ARGV 1 expected revision, 2 expected tip, 3 new tip: nonce of this writing, 4 issuer, 5 keys
-- Reply: written, revision | conflict
-- Run twice: the second run finds its own tip; after another's writing it is a conflict, and the writer reads what it wrote.
local ring = redis.call('HMGET', KEYS[1], 'revision', 'tip')
local revision, tip = ring[1] or '0', ring[2] or ''
if tip == ARGV[3] then return reply('written', revision) end
if revision ~= ARGV[1] or tip ~= ARGV[2] then return reply('conflict') end
revision = string.format('%.0f', tonumber(revision) + 1)
redis.call('HSET', KEYS[1], 'revision', revision, 'tip', ARGV[3], 'issuer', ARGV[4], 'keys', ARGV[5])
return reply('written', revision)
