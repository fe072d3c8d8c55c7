import type { IdpSessions } from './authorization/idp-sessions.ts'
import type { ClientRegistry } from './clients/client-registry.ts'
import type { Aat } from './http/aat.ts'
import { OAuthError } from './protocol/oauth-error.ts'
import type { Clock } from './protocol/time.ts'
import type { RevocationLog } from './revocation/revocation-log.ts'
import { isOver, limitsOf } from './stores/family-limits.ts'
import type { FamilyQuery, FamilyView, RefreshPolicy, RefreshPolicyOf, Stores } from './stores/ports.ts'

interface OperationsOptions {
  readonly stores: Stores
  readonly registry: ClientRegistry
  readonly revocations: RevocationLog
  readonly idpSessions: IdpSessions
  readonly refreshPolicyOf: RefreshPolicyOf
  readonly clock: Clock
}

/** `aat.grants`: what operators and users' own pages look at. */
export function createOperations({
  stores,
  registry,
  revocations,
  idpSessions,
  refreshPolicyOf,
  clock,
}: OperationsOptions): Pick<Aat, 'grants'> {
  /** `undefined`: there is no such client. What cannot be known of one whose document is away is as the server has it. */
  async function policyOf(clientId: string): Promise<RefreshPolicy | undefined> {
    try {
      const client = await registry.find(clientId)
      return client && refreshPolicyOf(client)
    } catch (error) {
      if (error instanceof OAuthError && error.code === 'temporarily_unavailable') return refreshPolicyOf({})
      throw error
    }
  }

  async function isAlive(family: FamilyView): Promise<boolean> {
    const { grant } = family
    const policy = await policyOf(grant.clientId)
    if (policy === undefined) return false
    if (revocations.coversGrant(grant, policy)) return false
    // The store keeps what a session bounds for longer than it lives.
    if (policy.idpSession === undefined) return true
    const current = { ...family, grant: idpSessions.currentGrant(grant) }
    return !isOver(limitsOf(current, policy, clock()))
  }

  return {
    grants: Object.freeze({
      async list(query: FamilyQuery) {
        const { families, cursor } = await stores.grants.listFamilies(query)
        // One epoch ends any number of them; each is gone from the store at its next use.
        const living = await Promise.all(
          families.map(async (family) => ((await isAlive(family)) ? [family] : [])),
        )
        const summaries = living.flat().map(({ grant, openedAt, lastUsedAt }) => ({
          grantId: grant.id,
          clientId: grant.clientId,
          subject: grant.subject,
          scope: grant.scope,
          resources: grant.resources,
          openedAt,
          lastUsedAt,
          idpSession: grant.idpSession && idpSessions.current(grant.idpSession),
        }))
        return { grants: summaries, cursor }
      },
    }),
  }
}
