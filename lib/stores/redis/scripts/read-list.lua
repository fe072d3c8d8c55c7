-- A page of a list: ids by the end of their entry, then by id. Changes nothing.
-- KEYS 1 the list
-- ARGV 1 end of the entry before the page, or empty, 2 its id, 3 the most entries
-- Reply: listed, id, end, id, end, ...
local size = tonumber(ARGV[3])
local from = string.format('%.0f', now + 1)
if ARGV[1] ~= '' and tonumber(ARGV[1]) > now then from = ARGV[1] end
local page, offset = {}, 0
repeat
  local found = redis.call('ZRANGEBYSCORE', KEYS[1], from, '+inf', 'WITHSCORES', 'LIMIT', offset, size)
  for i = 1, #found, 2 do
    if #page < 2 * size and (found[i + 1] ~= ARGV[1] or found[i] > ARGV[2]) then
      page[#page + 1] = found[i]
      page[#page + 1] = found[i + 1]
    end
  end
  offset = offset + size
until #found < 2 * size or #page >= 2 * size
return reply('listed', unpack(page))
