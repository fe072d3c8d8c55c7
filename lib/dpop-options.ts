import { localReplays } from './guard/local-replays.ts'
import type { DpopRules } from './http/aat.ts'
import type { DerivedKeys } from './protocol/derived-keys.ts'
import { flag, oneOf, optional, optionalObject, whole } from './protocol/options.ts'
import type { Clock } from './protocol/time.ts'
import type { Stores } from './stores/ports.ts'
import { dpopNonces } from './tokens/dpop-nonce.ts'

/** Access tokens bound to a key of the client's (RFC 9449). Clients may always use DPoP; this is what they must. */
export interface DpopOptions {
  /** Issue no token without a DPoP proof, to any client, and take no other at guards (default false). */
  required?: boolean | undefined
  /**
   * `required`: proofs must have a nonce of this server's (RFC 9449 §8 and §9), which tells its time, so clients' clocks no longer
   * matter; it costs a client one more round trip every few minutes. Default `off`.
   */
  nonces?: 'off' | 'required' | undefined
  /** Seconds that a proof without nonce is good for after its `iat` (default 60, 5 to 300). */
  proofLifetime?: number | undefined
  /**
   * Where guards remember proofs: `shared` (default) in the stores, so that a proof works once on all instances, for one command to
   * Redis a request; `local` in each instance's memory, where another instance takes it once more. Bearer tokens never ask.
   */
  replays?: 'shared' | 'local' | undefined
}

/** The `dpop` option. */
export const dpopOption = optionalObject({
  required: optional(flag, false),
  nonces: optional(oneOf('off', 'required'), 'off'),
  replays: optional(oneOf('shared', 'local'), 'shared'),
  proofLifetime: optional(whole('seconds', 5, 300), 60),
})

/** What proofs must be, by the options. */
export function dpopRules(
  { required, nonces, proofLifetime, replays }: ReturnType<typeof dpopOption>,
  secrets: readonly [DerivedKeys, ...DerivedKeys[]],
  stores: Pick<Stores, 'replays'>,
  clock: Clock,
): DpopRules {
  return {
    required,
    nonces: nonces === 'required' ? dpopNonces(secrets) : undefined,
    proofLifetime,
    guardReplays: replays === 'shared' ? stores.replays : localReplays(clock),
  }
}
