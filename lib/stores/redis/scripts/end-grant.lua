-- Ends a family, and burns its code where that was not redeemed yet.
-- KEYS 1 the code, 2 the family
-- ARGV 1 the reason as the record keeps it: "1" revoked, "2" reused, "3" code reused
-- Reply: ended, record of the family or empty, grant of the code or empty | unknown
-- Run twice: the first reason stays.
local code = redis.call('HMGET', KEYS[1], 'state', 'grant')
if code[1] == 'issued' then redis.call('HSET', KEYS[1], 'state', 'burnt') end
local family = redis.call('GET', KEYS[2])
if family and family:byte(2) % 4 == 0 then
  local flags = string.char(family:byte(2) + tonumber(ARGV[1]))
  -- Without memory to write in, the family goes as a whole: one that is absent is not alive either.
  local written = redis.pcall('SETRANGE', KEYS[2], 1, flags)
  if type(written) == 'table' and written.err then redis.call('DEL', KEYS[2]) end
end
if not family and not code[1] then return reply('unknown') end
return reply('ended', family or '', code[2] or '')
