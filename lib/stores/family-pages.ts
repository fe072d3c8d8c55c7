import type { IdpSessionId } from '../protocol/idp-session.ts'
import type { FamilyOwner, FamilyQuery, Grant } from './grant-store.ts'
import { type ListPlace, readListPage } from './list-place.ts'

/** @throws TypeError for a query that does not name exactly one owner, or for a cursor that no page gave */
export function readPage({ limit, cursor, ...owners }: FamilyQuery): {
  owner: FamilyOwner
  size: number
  after: ListPlace | undefined
} {
  const [[name = '', value] = [], ...more] = Object.entries(owners).filter(([, given]) => given !== undefined)
  const isId =
    name === 'idpSession'
      ? isSession(value)
      : ['subject', 'clientId'].includes(name) && typeof value === 'string'
  if (!isId || more.length > 0)
    throw new TypeError('grants.list: name exactly one of subject, clientId, idpSession')
  return {
    owner: { [name]: value } as unknown as FamilyOwner,
    ...readListPage({ limit, cursor }),
  }
}

function isSession(value: unknown): boolean {
  const { issuer, sid } = (value ?? {}) as Record<string, unknown>
  return typeof issuer === 'string' && typeof sid === 'string'
}

export function isOwnedBy({ subject, clientId, idpSession }: Grant, owner: FamilyOwner): boolean {
  // The others may be there, and undefined.
  const asked: { subject?: string; clientId?: string; idpSession?: IdpSessionId } = owner
  if (asked.subject !== undefined) return subject === asked.subject
  if (asked.clientId !== undefined) return clientId === asked.clientId
  return idpSession?.issuer === asked.idpSession?.issuer && idpSession?.sid === asked.idpSession?.sid
}
