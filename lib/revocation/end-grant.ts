import type { EndReason, Grant, GrantStore } from '../stores/ports.ts'
import type { RevocationLog } from './revocation-log.ts'

/**
 * Ends a grant: its family or code in the store, then its access tokens by one entry of the log. The order matters: a
 * refresh that commits between the two mints a token that the entry covers. Doing it twice is doing it once, so a call
 * that failed half-way is simply repeated.
 */
export function createEndGrant(grants: GrantStore, log: RevocationLog) {
  return async function endGrant(grantId: string, reason: EndReason, by: string): Promise<Grant | undefined> {
    const ended = await grants.end(grantId, reason)
    await log.revoke('grant', grantId, by)
    return ended.outcome === 'ended' ? ended.grant : undefined
  }
}

export type EndGrant = ReturnType<typeof createEndGrant>
