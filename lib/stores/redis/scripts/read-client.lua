-- Reads a client. Changes nothing.
-- KEYS 1 the client, 2 the mark of its id
-- ARGV none
-- Reply: found, client, revision, end in ms or empty | gone | unknown
local existing = redis.call('GET', KEYS[1])
local revision, stop, text = (existing or ''):match('^(%S+) (%d*) (.*)$')
if revision and (stop == '' or now < tonumber(stop)) then return reply('found', text, revision, stop) end
local marker, marked_until = (redis.call('GET', KEYS[2]) or ''):match('^(%S+) (%d+)$')
return reply(marker and now < tonumber(marked_until) and 'gone' or 'unknown')
