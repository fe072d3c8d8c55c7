import type { Denied, DenyList, DenyListPage, DenyListQuery, DenyTarget } from './http/aat-deny-list.ts'
import type { RevocationLog } from './revocation/revocation-log.ts'
import type { RevocationEntry, RevokedKind } from './stores/ports.ts'

/** Entries of the log in the words of the list. */
const types: Record<RevokedKind, Denied['type']> = {
  jti: 'token',
  grant: 'grant',
  client: 'client',
  subject: 'subject',
  all: 'everybody',
  kid: 'key',
  session: 'idp_session',
  'idp-subject': 'idp_user',
  uses: 'token',
}

const TARGETS = ['jti', 'grantId', 'clientId', 'subject']
const MAX_USES = 1_000_000

/** The deny list, over the revocation log. */
export function createDenyList(
  revocations: RevocationLog,
  revoke: (target: DenyTarget, by: string) => Promise<void>,
) {
  /** @param by who asked, for events */
  async function add(target: DenyTarget, by: string): Promise<void> {
    const names = Object.keys(target ?? {}).filter((name) => name !== 'maxUses')
    if (names.length !== 1 || !TARGETS.includes(String(names[0])))
      throw new TypeError(`denyList.add: name exactly one of ${TARGETS.join(', ')}`)
    const { maxUses, ...rest } = target as DenyTarget & { readonly maxUses?: number }
    if (maxUses === undefined || maxUses === 0) return revoke(rest as DenyTarget, by)
    if (!Number.isSafeInteger(maxUses) || maxUses < 0 || maxUses > MAX_USES)
      throw new TypeError(`denyList.add: maxUses must be a number from 0 to ${MAX_USES}`)
    if (!('jti' in rest) || typeof rest.jti !== 'string' || rest.jti === '')
      throw new TypeError('denyList.add: maxUses goes with a jti')
    await revocations.revoke('uses', rest.jti, by, { atMost: maxUses })
  }

  async function list({ cursor, limit = 100 }: DenyListQuery = {}): Promise<DenyListPage> {
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
  }

  const ofApp: DenyList = Object.freeze({ add: (target: DenyTarget) => add(target, 'the app'), list })
  return { add, list, ofApp }
}

function deniedOf({ kind, id, notAfter, atMost, until }: RevocationEntry): Denied {
  return {
    type: types[kind as RevokedKind],
    id,
    ...(notAfter !== undefined && { notAfter }),
    ...(atMost !== undefined && { maxUses: atMost }),
    expiresAt: until,
  }
}

const cursorAt = ({ kind, id }: RevocationEntry) => Buffer.from(`${kind}:${id}`).toString('base64url')

function placeOf(cursor: unknown): string {
  const place = typeof cursor === 'string' ? Buffer.from(cursor, 'base64url').toString() : ''
  if (!Object.hasOwn(types, place.slice(0, Math.max(0, place.indexOf(':')))))
    throw new RangeError('denyList.list: cursor must be one that a page gave')
  return place
}
