import { createDenyList } from './deny-list.ts'
import type { RevocationTarget } from './http/aat.ts'
import type { Clock } from './protocol/time.ts'
import type { EndGrant } from './revocation/end-grant.ts'
import { EVERYTHING } from './revocation/known-revocations.ts'
import type { RevocationLog } from './revocation/revocation-log.ts'
import type { Stores } from './stores/ports.ts'

interface RevokeOptions {
  readonly stores: Stores
  readonly revocations: RevocationLog
  readonly endGrant: EndGrant
  readonly clock: Clock
}

const TARGETS = 'grantId, jti, subject, clientId, before'

/** What the app itself can end: one token, one grant, or all of a user or a client. */
export function createRevoke({ stores, revocations, endGrant, clock }: RevokeOptions) {
  /** `aat.revoke`. @throws TypeError where not exactly one target is named */
  async function revoke(target: RevocationTarget, by = 'the app'): Promise<void> {
    const [[name, value] = [], ...more] = Object.entries(target ?? {})
    if (more.length === 0 && name === 'before') return revokeBefore(value)
    if (more.length > 0 || typeof value !== 'string' || value === '')
      throw new TypeError(`revoke: name exactly one of ${TARGETS}`)
    if (name === 'grantId') await disconnect(value, by)
    else if (name === 'jti') await revocations.revoke('jti', value, by)
    else if (name === 'subject' || name === 'clientId') await revokeAll(name, value, by)
    else throw new TypeError(`revoke: ${name} is not one of ${TARGETS}`)
  }

  /** Everybody's, by one epoch: after a restored backup, say. */
  async function revokeBefore(moment: unknown): Promise<void> {
    if (typeof moment !== 'number' || !(moment <= clock() + 1))
      throw new TypeError('revoke: before must be a time in seconds that is not in the future')
    await revocations.revoke('all', EVERYTHING, 'the app', { notAfter: moment })
  }

  /** The user's way out: the grant ends, and the client has to ask again. */
  async function disconnect(grantId: string, by: string): Promise<void> {
    const grant = await endGrant(grantId, 'revoked', by)
    if (grant !== undefined) await stores.consents.forget(grant.subject, grant.clientId)
  }

  /**
   * One epoch, whatever the number: access tokens of older grants are refused from now on, and their families and codes at
   * their next use, also where a refresh is on its way at this moment. Then what was remembered.
   */
  async function revokeAll(name: 'subject' | 'clientId', value: string, by: string): Promise<void> {
    await revocations.revoke(name === 'subject' ? 'subject' : 'client', value, by)
    if (name === 'subject') await stores.consents.forgetSubject(value)
  }

  return { revoke, denyList: createDenyList(revocations, revoke) }
}
