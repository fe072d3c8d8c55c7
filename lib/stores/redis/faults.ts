import { StoreUnavailable } from '../../protocol/oauth-error.ts'

/** What Redis says when it cannot, and what that means for an operator. Its own words may hold keys, so only these are told. */
const meanings: Record<string, string> = {
  OOM: 'Redis has reached maxmemory',
  READONLY: 'connected to a replica, not to the primary',
  LOADING: 'Redis is loading its data',
  BUSY: "Redis is busy with somebody's script",
  MISCONF: 'Redis cannot write to its disk and refuses to go on',
  NOREPLICAS: 'Redis has too few replicas in reach (min-replicas-to-write)',
  MASTERDOWN: 'the replica has lost its primary',
  CLUSTERDOWN: 'the cluster does not serve this slot',
  TRYAGAIN: 'the slot is being moved',
  CROSSSLOT: 'keys of one script are in several slots',
  NOAUTH: 'Redis wants a password',
  WRONGPASS: 'Redis does not accept the user name or password',
  NOPERM: 'the Redis user may not run a command or use a key that is needed; see the ACL line in the README',
  AATVERSION: 'a record was written by a newer version of express-aat',
  UNKILLABLE: "Redis is busy with somebody's script",
  NOSCRIPT: 'the script is not known',
}

const codes = new RegExp(`(?:^|[\\s-])(${Object.keys(meanings).join('|')})\\b`)

/** The code of an error reply, also where an older Redis wraps it in the error of the script. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  // Redis 6.2 and 7.0 tell of a right that a script lacks without the code.
  const lacksRight = /ACL failure in script|executing the script can't/.test(error.message)
  return codes.exec(error.message)?.[1] ?? (lacksRight ? 'NOPERM' : undefined)
}

/**
 * Any failure of the driver or of Redis, as the fault that passes (503), with a reason that holds no secret.
 * @param trouble what the connection said last, which tells more than the driver's own giving up
 */
export function unavailable(error: unknown, trouble?: unknown): StoreUnavailable {
  if (error instanceof StoreUnavailable) return error
  stripCommand(error)
  const code = codeOf(error)
  if (code !== undefined) return new StoreUnavailable(`${code}: ${meanings[code]}`, { cause: error })
  if (/max number of clients/.test(messageOf(error)))
    return new StoreUnavailable('Redis has reached maxclients', { cause: error })
  return new StoreUnavailable(`Redis cannot be reached (${wordOf(trouble ?? error)})`, { cause: error })
}

/** The driver hangs the command with all its arguments on its errors: records and hashes, which belong in no event and no log. */
function stripCommand(error: unknown): void {
  if (typeof error !== 'object' || error === null) return
  Reflect.deleteProperty(error, 'command')
  if ('lastNodeError' in error) stripCommand(error.lastNodeError)
}

/** An error in one word: its system code, what Redis said, or its name. */
export function wordOf(error: unknown): string {
  // Not its address: what is told here may end in a public readiness probe.
  const { code: errno, name } = (error ?? {}) as Record<string, unknown>
  if (typeof errno === 'string' && /^[A-Z_]{3,48}$/.test(errno)) return errno
  return codeOf(error) ?? (typeof name === 'string' && /^\w{1,48}$/.test(name) ? name : 'error')
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : ''
}
