-- Deletes a client.
-- KEYS 1 the client, 2 who deleted it
-- ARGV 1 nonce of this deletion
-- Reply: deleted | unknown
-- Run twice: the deleter's own second run finds it deleted.
if redis.call('EXISTS', KEYS[1]) == 1 then
  -- Without memory to write in, the client goes all the same; only a second run would not know that it was the first.
  redis.pcall('SET', KEYS[2], ARGV[1], 'PX', 10000)
  redis.call('DEL', KEYS[1])
  return reply('deleted')
end
return reply(redis.call('GET', KEYS[2]) == ARGV[1] and 'deleted' or 'unknown')
