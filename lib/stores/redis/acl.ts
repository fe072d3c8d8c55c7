/** What the stores' user must be allowed: the commands of the scripts, and those around them. A test runs with just these. */
export const scriptCommands = [
  'time',
  'get',
  'set',
  'del',
  'getrange',
  'setrange',
  'pexpire',
  'pttl',
  'hset',
  'hget',
  'hmget',
  'hgetall',
  'hdel',
  'zadd',
  'zrem',
  'zcard',
  'zrangebyscore',
  'zremrangebyscore',
  'publish',
] as const

const connectionCommands = [
  'evalsha',
  'eval',
  'ping',
  'info',
  'subscribe',
  'unsubscribe',
  'wait',
  'client|setname',
  'cluster|slots',
] as const

/** The line that makes such a user; every Redis from 6.2 on takes it as it is, so nothing newer stands in it (`client|setinfo`). */
export function aclLine(prefix: string): string {
  const rules = [...connectionCommands, ...scriptCommands].map((command) => `+${command}`).join(' ')
  return `ACL SETUSER aat on >PASSWORD resetkeys ~${prefix}* resetchannels &${prefix}* -@all ${rules}`
}
