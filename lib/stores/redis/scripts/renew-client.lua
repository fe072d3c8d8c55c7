-- Prolongs the record of a client to a later end.
-- KEYS 1 the client
-- ARGV 1 the end in ms
-- Reply: renewed | unknown
-- Run twice: the end is there already.
local existing = redis.call('GET', KEYS[1])
local revision, stop, text = (existing or ''):match('^(%S+) (%d*) (.*)$')
if not revision or (stop ~= '' and now >= tonumber(stop)) then return reply('unknown') end
if stop ~= '' and tonumber(stop) < tonumber(ARGV[1]) then
  local rest = string.format('%.0f', tonumber(ARGV[1]) - now)
  redis.call('SET', KEYS[1], revision .. ' ' .. ARGV[1] .. ' ' .. text, 'PX', rest)
end
return reply('renewed')
