-- Adds to what a subject allowed a client, resource by resource, and prolongs it.
-- KEYS 1 the subject's consents
-- ARGV 1 the client, hashed, 2 end in ms, 3 lines of resource and scope, 4 the most clients
-- Reply: remembered
-- Run twice: adds nothing more.
local scopes, order = {}, {}
local function add(lines)
  for resource, tokens in lines:gmatch('\n([^ \n]+)([^\n]*)') do
    if not scopes[resource] then
      scopes[resource] = ' '
      order[#order + 1] = resource
    end
    for token in tokens:gmatch('[^ ]+') do
      if not scopes[resource]:find(' ' .. token .. ' ', 1, true) then
        scopes[resource] = scopes[resource] .. token .. ' '
      end
    end
  end
end

-- Registered clients have a new id each time, so what is over must not stay, and no number of them must fill the memory.
local all = redis.call('HGETALL', KEYS[1])
local last, nearest, nearest_stop, others = tonumber(ARGV[2]), nil, nil, 0
for i = 1, #all, 2 do
  local stop = tonumber(all[i + 1]:match('^%d+'))
  if now >= stop then
    redis.call('HDEL', KEYS[1], all[i])
  elseif all[i] == ARGV[1] then
    add(all[i + 1])
  else
    others = others + 1
    if stop > last then last = stop end
    if not nearest_stop or stop < nearest_stop then nearest, nearest_stop = all[i], stop end
  end
end
if others >= tonumber(ARGV[4]) then redis.call('HDEL', KEYS[1], nearest) end
add(ARGV[3])
local lines = { ARGV[2] }
for _, resource in ipairs(order) do lines[#lines + 1] = resource .. scopes[resource] end
redis.call('HSET', KEYS[1], ARGV[1], table.concat(lines, '\n') .. '\n')
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.max(last - now, 1)))
return reply('remembered')
