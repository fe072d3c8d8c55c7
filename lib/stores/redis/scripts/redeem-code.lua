-- Redeems a code once, and opens its family: the decision table of RFC 6749 section 4.1.3 in one step.
-- KEYS 1 the code, 2 the family
-- ARGV 1 hash of the code, 2 nonce of the redemption, 3 client id, 4 "+" and redirect URI, or empty, 5 challenge,
--      6 " " before each scope token asked for, or empty, 7 resource, or empty, 8 what can be had (lines of resource and scope),
--      9 hash of the first refresh token, or empty: no family, 10 hash of the lineage, 11 id of the secret,
--      12 ms that the token lives, 13 ms that the family may become old, or empty, 14 empty: no session at an identity
--      provider bounds it; "known": one does whose end must be known for a family; "any": one does where its end is known,
--      15 ms that the family is kept then, 16 when the session ends by now in ms, or empty: as the grant says,
--      17 thumbprint of the key that the request proved, or empty, 18 hash of what the family is bound to, or empty
-- Reply: unknown | redeemed, grant, when in ms | foreign, reused, burnt, expired, redirect_uri_mismatch, sender_mismatch,
--        resource_exceeded, scope_exceeded, nothing_left, session_over, verifier_mismatch; each with the grant
-- Run twice: a run with the nonce of the redemption that succeeded gets its answer again.
local code = redis.call('HMGET', KEYS[1], 'state', 'hash', 'uri', 'uri_required', 'challenge', 'expires', 'grant', 'nonce',
  'redeemed', 'jkt')
local state, hash, uri, uri_required, challenge, expires, grant = unpack(code, 1, 7)
if not state or hash ~= ARGV[1] then return reply('unknown') end

local _, _, client, _, scope, resources, rest = struct.unpack('>I6I6I2c0I2c0I2c0I2c0', grant)
local has_session, session_end = ARGV[14] ~= '' and grant:byte(rest) == 83, nil
if has_session then
  if ARGV[16] ~= '' then grant = grant:sub(1, rest) .. struct.pack('>I6', tonumber(ARGV[16])) .. grant:sub(rest + 7) end
  session_end = struct.unpack('>I6', grant, rest + 1)
  if session_end == 0 then session_end = nil end
end
if client ~= ARGV[3] then return reply('foreign', grant) end
if state == 'used' then
  if code[8] == ARGV[2] then return reply('redeemed', grant, code[9]) end
  local family = redis.call('GETRANGE', KEYS[2], 0, 1)
  if #family == 2 and family:byte(2) % 4 == 0 then
    redis.call('SETRANGE', KEYS[2], 1, string.char(family:byte(2) + 3))
  end
  return reply('reused', grant)
end
if state == 'burnt' then return reply('burnt', grant) end
if now >= tonumber(expires) then return reply('expired', grant) end
if ARGV[4] == '' and uri_required == '1' or ARGV[4] ~= '' and ARGV[4] ~= '+' .. uri then
  return reply('redirect_uri_mismatch', grant)
end
if code[10] and code[10] ~= ARGV[17] then return reply('sender_mismatch', grant) end

local granted = ' ' .. scope .. ' '
for token in ARGV[6]:gmatch(' ([^ ]*)') do
  if not granted:find(' ' .. token .. ' ', 1, true) then return reply('scope_exceeded', grant) end
end
local resource = ARGV[7]
if resource == '' then
  resource = resources:match('^[^ ]*')
elseif not (' ' .. resources .. ' '):find(' ' .. resource .. ' ', 1, true) then
  return reply('resource_exceeded', grant)
end
local _, from = ARGV[8]:find('\n' .. resource .. ' ', 1, true)
local left = from and ARGV[8]:sub(from, ARGV[8]:find('\n', from, true)) or ''
local something = false
for token in (ARGV[6] == '' and ' ' .. scope or ARGV[6]):gmatch(' ([^ ]*)') do
  something = something or left:find(' ' .. token .. ' ', 1, true) ~= nil
end
if not something then return reply('nothing_left', grant) end

if session_end and session_end - now < 1000 then return reply('session_over', grant) end
if challenge ~= ARGV[5] then
  redis.call('HSET', KEYS[1], 'state', 'burnt')
  return reply('verifier_mismatch', grant)
end

if ARGV[9] ~= '' and not (ARGV[14] == 'known' and not session_end) then
  local lives = session_end and session_end - now or tonumber(ARGV[12])
  local cap = tonumber(ARGV[13])
  if cap and cap < lives then lives = cap end
  -- Kept for longer than it lives: the session may be prolonged.
  if has_session then lives = math.max(lives, tonumber(ARGV[15])) end
  -- See family-record.ts. Nothing precedes generation 0.
  local record = struct.pack('>BBI4I6I6I6I6I6I2I2c8c16c16c16B', ARGV[18] == '' and 1 or 2, 0, 0, now, now, now, now + lives, 0, 0, 0,
    ('\0'):rep(8), ARGV[10], ARGV[9], ('\0'):rep(16), #ARGV[11]) .. ARGV[11] .. ARGV[18] .. grant
  if lives > 0 then redis.call('SET', KEYS[2], record, 'PX', string.format('%.0f', lives)) end
end
redis.call('HSET', KEYS[1], 'state', 'used', 'nonce', ARGV[2], 'redeemed', string.format('%.0f', now))
return reply('redeemed', grant, string.format('%.0f', now))
