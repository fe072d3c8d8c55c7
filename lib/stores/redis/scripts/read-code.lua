-- Reads a code that can still be redeemed. Changes nothing.
-- KEYS 1 the code
-- ARGV none
-- Reply: found, hash, redirect URI, "1" where it is required, challenge, expiry in ms, grant, thumbprint of its key or empty | unknown
local code = redis.call('HMGET', KEYS[1], 'state', 'hash', 'uri', 'uri_required', 'challenge', 'expires', 'grant',
  'jkt')
if code[1] ~= 'issued' or now >= tonumber(code[6]) then return reply('unknown') end
return reply('found', code[2], code[3], code[4], code[5], code[6], code[7], code[8] or '')
