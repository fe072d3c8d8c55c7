-- Reads a value and removes it: of any number of takers one gets it.
-- KEYS 1 the value, 2 who took it
-- ARGV 1 nonce of this taking
-- Reply: found, value | unknown
-- Run twice: the taker's own second run gets the value again.
local value = redis.call('GET', KEYS[1])
if value then
  local stop, text = value:match('^(%d+) (.*)$')
  redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. text, 'PX', 10000)
  redis.call('DEL', KEYS[1])
  if now >= tonumber(stop) then return reply('unknown') end
  return reply('found', text)
end
local taken = redis.call('GET', KEYS[2])
if taken and taken:sub(1, #ARGV[1] + 1) == ARGV[1] .. ' ' then return reply('found', taken:sub(#ARGV[1] + 2)) end
return reply('unknown')
