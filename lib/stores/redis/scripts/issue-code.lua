-- Keeps an authorization code until it is over and its second use can no longer matter.
-- KEYS 1 the code
-- ARGV 1 hash of the code, 2 redirect URI, 3 "1" where the token request must name it, 4 code challenge, 5 expiry in ms,
--      6 the grant as the family will keep it, 7 ms for which it stays after that, 8 thumbprint of the one key that may redeem it, or
--      empty: any
-- Reply: issued
-- Run twice: writes the same again.

-- No grant is of the future, whatever the clock of who gave it: a revocation of everything up to now must find it.
local grant = ARGV[6]
if struct.unpack('>I6', grant) > now then grant = struct.pack('>I6', now) .. grant:sub(7) end
redis.call('HSET', KEYS[1], 'state', 'issued', 'hash', ARGV[1], 'uri', ARGV[2], 'uri_required', ARGV[3],
  'challenge', ARGV[4], 'expires', ARGV[5], 'grant', grant)
if ARGV[8] ~= '' then redis.call('HSET', KEYS[1], 'jkt', ARGV[8]) end
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.max(tonumber(ARGV[5]) - now, 0) + tonumber(ARGV[7])))
return reply('issued')
