-- Revokes an initial access token.
-- KEYS 1 the token, 2 who revoked it
-- ARGV 1 nonce of this revocation
-- Reply: revoked | unknown
-- Run twice: the revoker's own second run finds it revoked.
if redis.call('HGET', KEYS[1], 'ends') then
  -- Without memory to write in, the token goes all the same; only a second run would not know that it was the first.
  redis.pcall('SET', KEYS[2], ARGV[1], 'PX', 10000)
  redis.call('DEL', KEYS[1])
  return reply('revoked')
end
return reply(redis.call('GET', KEYS[2]) == ARGV[1] and 'revoked' or 'unknown')
