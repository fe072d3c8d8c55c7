import type { Denied, DenyList, DenyListQuery } from './http/deny-list.ts'
import type { RevocationLog } from './revocation/revocation-log.ts'
import type { Revoke } from './revoke.ts'
import type { RevocationEntry } from './stores/ports.ts'

/** Entries of the log in the words of the list. */
const types: Record<RevocationEntry['kind'], Denied['type']> = {
  jti: 'token',
  grant: 'grant',
  client: 'client',
  subject: 'subject',
  all: 'everybody',
  kid: 'key',
  session: 'idp_session',
  'idp-subject': 'idp_user',
}

/** `aat.denyList`, over the revocation log. */
export function createDenyList(revocations: RevocationLog, revoke: Revoke): DenyList {
  return Object.freeze({
    add: (target) => revoke(target),

    async list({ cursor, limit = 100 }: DenyListQuery = {}) {
      if (!Number.isSafeInteger(limit) || limit < 1 || limit > 1000)
        throw new RangeError('denyList.list: limit must be a whole number from 1 to 1000')
      const after = cursor === undefined ? '' : placeOf(cursor)
      await revocations.pull()
      const entries = revocations.list(after, limit + 1)
      const page = entries.slice(0, limit)
      const last = page.at(-1)
      return {
        denied: page.map(deniedOf),
        cursor: entries.length > limit && last !== undefined ? cursorAt(last) : undefined,
      }
    },
  } satisfies DenyList)
}

function deniedOf({ kind, id, notAfter, until }: RevocationEntry): Denied {
  return { type: types[kind], id, ...(notAfter !== undefined && { notAfter }), expiresAt: until }
}

const cursorAt = ({ kind, id }: RevocationEntry) => Buffer.from(`${kind}:${id}`).toString('base64url')

function placeOf(cursor: unknown): string {
  const place = typeof cursor === 'string' ? Buffer.from(cursor, 'base64url').toString() : ''
  if (!Object.hasOwn(types, place.slice(0, Math.max(0, place.indexOf(':')))))
    throw new RangeError('denyList.list: cursor must be one that a page gave')
  return place
}
