import { flag, object, oneOf, optional, whole } from './protocol/options.ts'

/** Access tokens bound to a key of the client's (RFC 9449). Clients may always use DPoP; this is what they must. */
export interface DpopOptions {
  /** Issue no token without a DPoP proof, to any client (default false). */
  required?: boolean | undefined
  /**
   * `required`: proofs must have a nonce of this server's (RFC 9449 §8 and §9), which tells its time, so clients' clocks no longer
   * matter; it costs a client one more round trip every few minutes. Default `off`.
   */
  nonces?: 'off' | 'required' | undefined
  /** Seconds that a proof without nonce is good for after its `iat` (default 60, 5 to 300). */
  proofLifetime?: number | undefined
}

const defaults = { required: false, nonces: 'off' as const, proofLifetime: 60 }

/** What is checked of `dpop`. */
export const dpopShape = optional(
  object({
    required: optional(flag, defaults.required),
    nonces: optional(oneOf('off', 'required'), defaults.nonces),
    proofLifetime: optional(whole('seconds', 5, 300), defaults.proofLifetime),
  }),
  defaults,
)
