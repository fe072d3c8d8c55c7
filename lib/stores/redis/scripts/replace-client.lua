-- Changes a client that is still in the known state.
-- KEYS 1 the client, 2 the mark of its id
-- ARGV 1 the client, 2 nonce of this change, 3 the known revision, or empty for no record, 4 its end in ms, or empty, 5 end of the mark in ms, or empty
-- Reply: replaced | changed
-- Run twice: the changer's own second run finds it replaced.
local existing = redis.call('GET', KEYS[1])
local revision, stop = (existing or ''):match('^(%S+) (%d*) ')
if revision == ARGV[2] then return reply('replaced') end
if stop and stop ~= '' and now >= tonumber(stop) then revision = nil end
if (revision or '') ~= ARGV[3] then return reply('changed') end
local marker, marked_until = (redis.call('GET', KEYS[2]) or ''):match('^(%S+) (%d+)$')
if not revision and marker and now < tonumber(marked_until) then return reply('changed') end
-- The mark first: without memory to write in nothing changes, rather than the id being believed again later.
local mark = tonumber(ARGV[5]) and tonumber(ARGV[5]) - now
if mark and mark > 0 then redis.call('SET', KEYS[2], ARGV[2] .. ' ' .. ARGV[5], 'PX', string.format('%.0f', mark)) end
local record = ARGV[2] .. ' ' .. ARGV[4] .. ' ' .. ARGV[1]
local rest = tonumber(ARGV[4]) and tonumber(ARGV[4]) - now
if not rest then redis.call('SET', KEYS[1], record)
elseif rest > 0 then redis.call('SET', KEYS[1], record, 'PX', string.format('%.0f', rest))
else redis.call('DEL', KEYS[1]) end
return reply('replaced')
