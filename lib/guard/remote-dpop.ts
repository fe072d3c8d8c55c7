import { deriveKeys } from '../protocol/derived-keys.ts'
import { listOf, optional, optionalObject, secretOf, verified, whole } from '../protocol/options.ts'
import type { Clock } from '../protocol/time.ts'
import type { ReplayStore } from '../stores/ports.ts'
import { dpopNonces } from '../tokens/dpop-nonce.ts'
import { localReplays } from './local-replays.ts'
import type { SenderRules } from './sender.ts'

/** How an API elsewhere checks DPoP proofs (RFC 9449). */
export interface RemoteDpopOptions {
  /**
   * Where proofs are remembered, for several instances of the API: `redisStores(client).replays`. Default this process's memory, so
   * another instance takes a proof once more.
   */
  replays?: ReplayStore | undefined
  /** Proofs must have a nonce that is derived from one of these: at least 32 characters each, newest first, all instances' (default none). */
  nonceSecrets?: string[] | undefined
  /** Seconds that a proof without nonce is good for after its `iat` (default 60, 5 to 300). */
  proofLifetime?: number | undefined
}

/** The `dpop` option of `remoteIssuer`. */
export const remoteDpopOption = optionalObject({
  replays: optional(
    verified<ReplayStore>((value) =>
      typeof (value as ReplayStore | null)?.claim === 'function'
        ? undefined
        : 'must be the replays of stores, as redisStores(client).replays',
    ),
  ),
  nonceSecrets: optional(listOf(secretOf(32), { min: 1, max: 8 })),
  proofLifetime: optional(whole('seconds', 5, 300), 60),
})

export function remoteDpopRules(
  { replays, nonceSecrets, proofLifetime }: ReturnType<typeof remoteDpopOption>,
  clock: Clock,
): Omit<SenderRules, 'readCertificate'> {
  const [newest, ...older] = (nonceSecrets ?? []).map(deriveKeys)
  return {
    required: false,
    replays: replays ?? localReplays(clock),
    nonces: newest && dpopNonces([newest, ...older]),
    proofLifetime,
    onRefusedProof: () => undefined,
  }
}
