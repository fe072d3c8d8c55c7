-- Runs every command that the scripts use, on a key and a channel of its own, and says which of them are not allowed.
-- KEYS 1 the probe
-- ARGV 1 the channel of the probe
-- Reply: checked, command, command, ...
-- Run twice: says the same again; the probe is gone each time.
local refused = {}
for _, command in ipairs({
  { 'TIME' }, { 'SET', KEYS[1], 'probe', 'PX', 1000 }, { 'GET', KEYS[1] }, { 'GETRANGE', KEYS[1], 0, 1 },
  { 'SETRANGE', KEYS[1], 0, 'P' }, { 'PEXPIRE', KEYS[1], 1000 }, { 'PTTL', KEYS[1] }, { 'DEL', KEYS[1] },
  { 'HSET', KEYS[1], 'field', 'probe' }, { 'HGET', KEYS[1], 'field' }, { 'HMGET', KEYS[1], 'field' },
  { 'HGETALL', KEYS[1] }, { 'HDEL', KEYS[1], 'field' }, { 'DEL', KEYS[1] },
  { 'ZADD', KEYS[1], 1, 'probe' }, { 'ZRANGEBYSCORE', KEYS[1], 1, 1 }, { 'ZCARD', KEYS[1] }, { 'ZREM', KEYS[1], 'probe' },
  { 'ZREMRANGEBYSCORE', KEYS[1], 1, 1 }, { 'DEL', KEYS[1] }, { 'PUBLISH', ARGV[1], 'probe' },
}) do
  local answer = redis.pcall(unpack(command))
  if type(answer) == 'table' and answer.err then
    -- Without memory to write in, the command is allowed all the same. Each version has its own words for one that is not.
    local is_allowed = not (answer.err:find('NOPERM', 1, true) or answer.err:find('ACL', 1, true) or
      answer.err:find('permission', 1, true) or answer.err:find('The user executing the script', 1, true))
    if not is_allowed then refused[#refused + 1] = command[1] end
  end
end
return reply('checked', unpack(refused))
