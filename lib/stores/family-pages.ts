import type { IdpSessionId } from '../protocol/idp-session.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { FamilyOwner, FamilyQuery, Grant } from './grant-store.ts'

/** A place in a list of families, not a family: that one may have ended since. */
export interface ListPlace {
  readonly at: NumericDate
  readonly grantId: string
}

/** @throws TypeError for a query that does not name exactly one owner, or for a cursor that no page gave */
export function readPage({ limit = 100, cursor, ...owners }: FamilyQuery): {
  owner: FamilyOwner
  size: number
  after: ListPlace | undefined
} {
  const [[name = '', value] = [], ...more] = Object.entries(owners).filter(([, given]) => given !== undefined)
  const isId =
    name === 'idpSession'
      ? isSession(value)
      : ['subject', 'clientId'].includes(name) && typeof value === 'string'
  if (!isId || more.length > 0) throw new TypeError('list: name exactly one of subject, clientId, idpSession')
  if (typeof limit !== 'number' || Number.isNaN(limit)) throw new TypeError('list: limit must be a number')
  return {
    owner: { [name]: value } as unknown as FamilyOwner,
    size: Math.min(Math.max(1, Math.trunc(limit)), 1000),
    after: cursor === undefined ? undefined : readCursor(cursor),
  }
}

function isSession(value: unknown): boolean {
  const { issuer, sid } = (value ?? {}) as Record<string, unknown>
  return typeof issuer === 'string' && typeof sid === 'string'
}

export function writeCursor({ at, grantId }: ListPlace): string {
  return `${at}.${grantId}`
}

function readCursor(cursor: unknown): ListPlace {
  const [, at = '', grantId = ''] =
    (typeof cursor === 'string' && /^(\d{1,16}(?:\.\d{1,9})?)\.([\w-]{22})$/.exec(cursor)) || []
  if (grantId === '') throw new TypeError('list: cursor must be one that a page gave')
  return { at: Number(at), grantId }
}

/** Oldest first; of one moment by id. */
export function comparePlaces(a: ListPlace, b: ListPlace): number {
  return a.at - b.at || (a.grantId < b.grantId ? -1 : a.grantId > b.grantId ? 1 : 0)
}

export function isOwnedBy({ subject, clientId, idpSession }: Grant, owner: FamilyOwner): boolean {
  // The others may be there, and undefined.
  const asked: { subject?: string; clientId?: string; idpSession?: IdpSessionId } = owner
  if (asked.subject !== undefined) return subject === asked.subject
  if (asked.clientId !== undefined) return clientId === asked.clientId
  return idpSession?.issuer === asked.idpSession?.issuer && idpSession?.sid === asked.idpSession?.sid
}
