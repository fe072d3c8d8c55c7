import type { Emit } from '../protocol/events.ts'
import type { Random } from '../protocol/random.ts'
import type { Clock } from '../protocol/time.ts'
import type { Client, Stores } from '../stores/ports.ts'
import type { ClientKeys } from './client-keys.ts'
import { type ClientDraft, readClientMetadata } from './client-metadata.ts'
import { createInitialAccessTokens, type InitialAccessTokens } from './initial-access-tokens.ts'
import { refusal } from './metadata-members.ts'
import { clientInForce, DEFAULT_POLICY, type RegistrationPolicy } from './registration-policy.ts'
import {
  type CountRegistration,
  createRegistrationQuotas,
  type RegistrationQuotas,
} from './registration-quotas.ts'

import { createSoftwareStatements, issuerOfStatement, type StatementIssuer } from './software-statements.ts'

/** What the configuration says of registration. */
export interface RegistrationRules {
  readonly policies: ReadonlyMap<string, RegistrationPolicy>
  readonly quotas: RegistrationQuotas
  readonly statementIssuers: readonly StatementIssuer[]
  /** Whom software statements may be for. */
  readonly statementAudiences: readonly string[]
}

export interface Registrations {
  readonly policies: RegistrationRules['policies']
  readonly initialAccessTokens: InitialAccessTokens
  /** Counts a registration against the quotas. */
  readonly count: CountRegistration
  /** @throws TypeError for a name that is not configured */
  policy(name?: string): RegistrationPolicy
  /**
   * Judges client metadata, with its software statement where it has one.
   * @throws OAuthError (RFC 7591 §3.2.2)
   */
  judge(metadata: Record<string, unknown>, policy: RegistrationPolicy): Promise<ClientDraft>
  /**
   * A client that chose for itself, as its policy judges it now.
   * @returns `undefined` where its registration is over, or its policy is no more
   */
  inForce(client: Client): Client | undefined
}

/** Who may register, and what registered clients may have by the policies of today. */
export function createRegistrations(
  { policies, quotas, statementIssuers, statementAudiences }: RegistrationRules,
  stores: Stores,
  clock: Clock,
  random: Random,
  emit: Emit,
  keys: () => ClientKeys,
): Registrations {
  /** Records do not change once they are read, and are remembered elsewhere. */
  const judged = new WeakMap<Client, Client>()

  const statements = createSoftwareStatements({
    issuers: statementIssuers,
    audiences: statementAudiences,
    keys,
    clock,
  })
  const store = stores.initialAccessTokens
  return {
    policies,
    count: createRegistrationQuotas(quotas, stores.counters, clock),
    initialAccessTokens: createInitialAccessTokens({ store, policies, clock, random, emit }),

    policy(name = DEFAULT_POLICY) {
      const policy = policies.get(name)
      if (policy === undefined) throw new TypeError(`there is no registration policy ${JSON.stringify(name)}`)
      return policy
    },

    async judge(metadata, policy) {
      const isStated = statements.isOn && metadata.software_statement !== undefined
      if (policy.requiresStatement && !isStated) throw refusal('software_statement is required')
      if (!isStated) return readClientMetadata(metadata, policy)
      const draft = readClientMetadata(await statements.apply(metadata), policy)
      return { ...draft, softwareStatement: metadata.software_statement as string }
    },

    inForce(client) {
      const policy = policies.get(client.policy ?? DEFAULT_POLICY)
      if (policy === undefined) return undefined
      if (policy.clientLifetime !== undefined && clock() >= client.createdAt + policy.clientLifetime)
        return undefined
      if (policy.requiresStatement && !statements.trusts(issuerOfStatement(client.softwareStatement)))
        return undefined
      const known = judged.get(client)
      if (known !== undefined) return known
      const inForce = clientInForce(client, policy)
      judged.set(client, inForce)
      return inForce
    },
  }
}
