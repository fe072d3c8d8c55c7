import type { Emit } from '../protocol/events.ts'
import type { Random } from '../protocol/random.ts'
import type { Clock } from '../protocol/time.ts'
import type { Client, Stores } from '../stores/ports.ts'
import { createInitialAccessTokens, type InitialAccessTokens } from './initial-access-tokens.ts'
import { clientInForce, type RegistrationPolicy } from './registration-policy.ts'
import {
  type CountRegistration,
  createRegistrationQuotas,
  type RegistrationQuotas,
} from './registration-quotas.ts'

/** What the configuration says of registration. */
export interface RegistrationRules {
  readonly policies: ReadonlyMap<string, RegistrationPolicy>
  readonly quotas: RegistrationQuotas
}

export interface Registrations {
  readonly policies: RegistrationRules['policies']
  readonly initialAccessTokens: InitialAccessTokens
  /** Counts a registration against the quotas. */
  readonly count: CountRegistration
  /** @throws TypeError for a name that is not configured */
  policy(name?: string): RegistrationPolicy
  /**
   * A client that chose for itself, as its policy judges it now.
   * @returns `undefined` where its registration is over, or its policy is no more
   */
  inForce(client: Client): Client | undefined
}

const DEFAULT = 'default'

/** Who may register, and what registered clients may have by the policies of today. */
export function createRegistrations(
  { policies, quotas }: RegistrationRules,
  stores: Stores,
  clock: Clock,
  random: Random,
  emit: Emit,
): Registrations {
  /** Records do not change once they are read, and are remembered elsewhere. */
  const judged = new WeakMap<Client, Client>()

  const store = stores.initialAccessTokens
  return {
    policies,
    count: createRegistrationQuotas(quotas, stores.counters, clock),
    initialAccessTokens: createInitialAccessTokens({ store, policies, clock, random, emit }),

    policy(name = DEFAULT) {
      const policy = policies.get(name)
      if (policy === undefined) throw new TypeError(`there is no registration policy ${JSON.stringify(name)}`)
      return policy
    },

    inForce(client) {
      const policy = policies.get(client.policy ?? DEFAULT)
      if (policy === undefined) return undefined
      if (policy.clientLifetime !== undefined && clock() >= client.createdAt + policy.clientLifetime)
        return undefined
      const known = judged.get(client)
      if (known !== undefined) return known
      const inForce = clientInForce(client, policy)
      judged.set(client, inForce)
      return inForce
    },
  }
}
