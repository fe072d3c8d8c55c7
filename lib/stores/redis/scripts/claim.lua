-- Claims a key once until a moment: of any number of claimants one is fresh.
-- KEYS 1 the claim
-- ARGV 1 nonce of this claim, 2 its end in ms
-- Reply: fresh | seen
-- Run twice: the claimant's own second run is fresh again.
local rest = tonumber(ARGV[2]) - now
local claimed = redis.call('GET', KEYS[1])
if claimed then
  local stop, owner = claimed:match('^(%d+) (.*)$')
  if owner == ARGV[1] then return reply('fresh') end
  if now < tonumber(stop) then return reply('seen') end
end
if rest > 0 then redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. ARGV[1], 'PX', string.format('%.0f', rest)) end
return reply('fresh')
