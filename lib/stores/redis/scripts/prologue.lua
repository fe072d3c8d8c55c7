-- The head of every script: who asks, what time it is, and whether the question still matters.
-- ARGV ... and before a script's own arguments:
--   nonce   of this run; the reply begins with it, so a reply to another question is noticed
--   late    milliseconds; after this moment nobody waits for the answer and nothing may change
--   clock   milliseconds that stand for the server's TIME (tests), or empty
-- Reply: nonce, now in milliseconds, outcome, ...
local nonce, late, clock = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
for _ = 1, 3 do table.remove(ARGV, 1) end
local now = clock
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- What the caller learns the server's clock from, so not the time of a family, which may be ahead of a clock that jumped back.
local said = string.format('%.0f', now)
local function reply(...)
  return { nonce, said, ... }
end
if now > late then return reply('late') end
