-- Keeps a new client, unless its id is marked.
-- KEYS 1 the client, 2 the mark of its id
-- ARGV 1 the client, 2 nonce of this creation, 3 its end in ms, or empty
-- Reply: created | exists | gone
-- Run twice: the creator's own second run finds it created.
local existing = redis.call('GET', KEYS[1])
if existing then
  local revision, stop = existing:match('^(%S+) (%d*) ')
  if revision == ARGV[2] then return reply('created') end
  if stop == '' or now < tonumber(stop) then return reply('exists') end
end
local marker, marked_until = (redis.call('GET', KEYS[2]) or ''):match('^(%S+) (%d+)$')
if marker and now < tonumber(marked_until) then return reply('gone') end
local record = ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[1]
local rest = tonumber(ARGV[3]) and tonumber(ARGV[3]) - now
if not rest then redis.call('SET', KEYS[1], record)
elseif rest > 0 then redis.call('SET', KEYS[1], record, 'PX', string.format('%.0f', rest)) end
return reply('created')
