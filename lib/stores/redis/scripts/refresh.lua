-- A refresh: one decision over one family, top to bottom; what changes stands beside it.
-- KEYS 1 the family
-- ARGV 1 client id, 2 generation of the presented token, 3 bytes: hashes of the token, its lineage and its successor, and the
--      nonce of the request, 4 id of the successor's secret, 5 issuance, 6 ms that a token lives, 7 ms that the family may
--      become old, or empty, 8 ms of grace, 9 " " before each scope token asked for, or empty, 10 resource, or empty, 11 what
--      can be had (lines of resource and scope), 12 empty: no session at an identity provider bounds it; "known": one does
--      whose end must be known; "any": one does where its end is known, 13 ms that the family is kept then, 14 when the
--      session ends by now in ms, or empty: as the record says, 15 hash of what the request proved and the family is to be
--      bound to, or empty; "unproven": its proof is bad
-- Reply: unknown | rotated, kept or retried, the record, "1" after a fast-forward, "1" where lists have to enter the family
--        again: it became one more lifetime old, or lives longer than was said | foreign, ended, reused, expired,
--        sender_mismatch, scope_exceeded, resource_exceeded, nothing_left; each with the record
-- Run twice: a run with the nonce of the last rotation or retry gets its answer again, also where the grace is over by then.
local MAX_RETRIES = 65535
local token_hash, lineage_hash = ARGV[3]:sub(1, 16), ARGV[3]:sub(17, 32)
local next_hash, nonce_of_request = ARGV[3]:sub(33, 48), ARGV[3]:sub(49, 56)

local record = redis.call('GET', KEYS[1])
if not record then return reply('unknown') end
local version = record:byte(1)
if version ~= 1 and version ~= 2 then return redis.error_reply('AATVERSION a record of another version') end
local flags, generation, opened, period, used, over, rotated, previous_life, retries, last_nonce, lineage, token, previous,
  key, at = struct.unpack('>BI4I6I6I6I6I6I2I2c8c16c16c16Bc0', record, 2)
local bound_to = ''
if version == 2 then bound_to, at = struct.unpack('c16', record, at) end
local _, _, client, _, scope, resources, rest = struct.unpack('>I6I6I2c0I2c0I2c0I2c0', record, at)
-- The family's time never goes back, whatever the server's clock does.
now = math.max(now, used)
if now >= over then return reply('unknown') end
if client ~= ARGV[1] then return reply('foreign', record) end
if lineage ~= lineage_hash then return reply('unknown') end
local ended = flags % 4
if ended ~= 0 then return reply('ended', record) end

local presented = tonumber(ARGV[2])
local age = generation - presented
local lifetime, cap = tonumber(ARGV[6]), tonumber(ARGV[7])
local has_session, session_end = ARGV[12] ~= '' and record:byte(rest) == 83, nil
if has_session then
  if ARGV[14] ~= '' then record = record:sub(1, rest) .. struct.pack('>I6', tonumber(ARGV[14])) .. record:sub(rest + 7) end
  session_end = struct.unpack('>I6', record, rest + 1)
  if session_end == 0 then session_end = nil end
end
local bound = cap and opened + cap
if session_end and not (bound and bound < session_end) then bound = session_end end
-- See family-limits.ts. What has a session is kept for longer than it lives: that may have been prolonged.
local function expiry()
  local own = session_end and bound or period + lifetime
  return bound and bound < own and bound or own
end
local function kept(expires)
  return has_session and math.max(expires, now + tonumber(ARGV[13])) or expires
end
local expires = expiry()
local is_over = now >= expires or bound and bound - now < 1000 or ARGV[12] == 'known' and not session_end
-- A longer lifetime has come into force, or a session: lists have the family until twice the life before.
local longer = has_session and over - used < tonumber(ARGV[13]) or not session_end and expires > over

-- One without a key takes the first that is proven; one with a key takes no other.
local is_theirs = ARGV[15] ~= 'unproven' and (bound_to == '' or bound_to == ARGV[15])

local function excess()
  local granted = ' ' .. scope .. ' '
  for wanted in ARGV[9]:gmatch(' ([^ ]*)') do
    if not granted:find(' ' .. wanted .. ' ', 1, true) then return 'scope_exceeded' end
  end
  local resource = ARGV[10]
  if resource == '' then
    resource = resources:match('^[^ ]*')
  elseif not (' ' .. resources .. ' '):find(' ' .. resource .. ' ', 1, true) then
    return 'resource_exceeded'
  end
  local _, from = ARGV[11]:find('\n' .. resource .. ' ', 1, true)
  local left = from and ARGV[11]:sub(from, ARGV[11]:find('\n', from, true)) or ''
  for wanted in (ARGV[9] == '' and ' ' .. scope or ARGV[9]):gmatch(' ([^ ]*)') do
    if left:find(' ' .. wanted .. ' ', 1, true) then return nil end
  end
  return 'nothing_left'
end

-- Writes the family as the variables say, and keeps it until `over`.
local function write()
  record = struct.pack('>BBI4I6I6I6I6I6I2I2c8c16c16c16B', bound_to == '' and 1 or 2, flags, generation, opened, period, used, over, rotated,
    previous_life, retries, last_nonce, lineage, token, previous, #key) .. key .. bound_to .. record:sub(at)
  redis.call('SET', KEYS[1], record, 'PX', string.format('%.0f', over - now))
end

if age == 0 and token == token_hash or age < 0 then
  if is_over then return reply('expired', record) end
  if not is_theirs then return reply('sender_mismatch', record) end
  local refusal = excess()
  if refusal then return reply(refusal, record) end
  local forward = age < 0 and '1' or ''
  local life = has_session and math.max(lifetime, tonumber(ARGV[13])) or lifetime
  local older = math.floor((now - opened) / life) > math.floor((used - opened) / life)
  local enter = (older or longer) and '1' or ''
  used = now
  if bound_to == '' then bound_to = ARGV[15] end
  if ARGV[5] == 'keep' then
    if forward == '1' then generation, token, key = presented, token_hash, ARGV[4] end
    over = kept(expires)
    write()
    return reply('kept', record, forward, enter)
  end
  previous, previous_life = token_hash, math.min(expires - now, 65535)
  rotated, last_nonce, retries, flags = now, nonce_of_request, 0, forward == '1' and 4 or 0
  generation, token, key = presented + 1, next_hash, ARGV[4]
  if ARGV[5] == 'rotate-and-reset' then
    period = now
    expires = expiry()
  end
  over = kept(expires)
  write()
  return reply('rotated', record, forward, enter)
end

-- The same generation, another hash, yet a valid tag: no token that this family issued. Nothing to conclude from it.
if age == 0 then return reply('unknown') end

if age == 1 and previous == token_hash then
  if last_nonce == nonce_of_request then
    return reply(retries > 0 and 'retried' or 'rotated', record, retries == 0 and flags >= 4 and '1' or '', '')
  end
  if now - rotated < tonumber(ARGV[8]) and retries < MAX_RETRIES then
    local was_over = not session_end and now - rotated >= previous_life and previous_life < 65535
    if was_over or is_over then return reply('expired', record) end
    if not is_theirs then return reply('sender_mismatch', record) end
    local refusal = excess()
    if refusal then return reply(refusal, record) end
    if bound_to == '' then bound_to = ARGV[15] end
    retries, used, over, last_nonce = retries + 1, now, kept(expires), nonce_of_request
    write()
    return reply('retried', record, '', longer and '1' or '')
  end
end
-- 2: reused. The rest of the record, and its end, stay.
redis.call('SETRANGE', KEYS[1], 1, string.char(flags - ended + 2))
return reply('reused', record)
