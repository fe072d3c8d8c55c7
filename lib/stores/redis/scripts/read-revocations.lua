-- What the revocation log has after a place that the reader knows. Changes nothing.
-- KEYS 1 the entries by revision, 2 the place
-- ARGV 1 revision that is known, 2 its tip, 3 the most entries
-- Reply: news, revision, tip, "1" where the known place is one of this log, "1" where there is more, entry, entry, ...
local place = redis.call('HMGET', KEYS[2], 'revision', 'tip')
local revision, tip = place[1] or '0', place[2] or ''
if revision == ARGV[1] and tip == ARGV[2] then return reply('news', revision, tip, '1', '') end

local proven = ARGV[1] == '0'
if not proven then
  local known = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], ARGV[1])[1]
  proven = known ~= nil and known:sub(1, #ARGV[2] + 1) == ARGV[2] .. ' '
end
if not proven then return reply('news', revision, tip, '', '') end
local size = tonumber(ARGV[3])
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, size)
local entries = {}
for i = 1, #found, 2 do
  local entry_tip, stop, entry = found[i]:match('^([^ ]*) (%d+) (.*)$')
  if now < tonumber(stop) then entries[#entries + 1] = entry end
  revision, tip = found[i + 1], entry_tip
end
return reply('news', revision, tip, '1', #found == 2 * size and '1' or '', unpack(entries))
