import { algorithms, type SigningAlgorithm } from './protocol/jwa.ts'
import { oneOf, optional, optionalObject, verified, whole } from './protocol/options.ts'

/** Signing keys, and the times by which they rotate. */
export interface KeyOptions {
  /** Default `ES256`. */
  alg?: SigningAlgorithm | undefined
  /** Modulus for RS256 and PS256 (default 2048; 2048, 3072 or 4096). */
  rsaBits?: number | undefined
  /** Seconds that a key signs before its successor (default 2,592,000 = 30 days). */
  rotationInterval?: number | undefined
  /** Seconds that a key is published before it signs (default 86,400 = 24 h). */
  publishBefore?: number | undefined
  /** Seconds that the JWK Set may be cached (default 300). */
  jwksMaxAge?: number | undefined
  /** Seconds: the longest cache of a verifier to plan for (default 600). */
  verifierCache?: number | undefined
  /** Seconds by which clocks of instances and verifiers may differ, for the schedule (default 60). */
  clockTolerance?: number | undefined
}

const DAY = 86_400
const LONGEST = 2 ** 31
const seconds = (min: number, max: number) => whole('seconds', min, max)

/** The `keys` option. */
export const keysOption = optionalObject({
  alg: optional(oneOf(...(Object.keys(algorithms) as SigningAlgorithm[])), 'ES256'),
  rsaBits: optional(
    verified<number>((value) =>
      [2048, 3072, 4096].includes(value as number) ? undefined : 'must be 2048, 3072 or 4096',
    ),
    2048,
  ),
  rotationInterval: optional(seconds(1, LONGEST), 30 * DAY),
  publishBefore: optional(seconds(0, LONGEST), DAY),
  jwksMaxAge: optional(seconds(0, DAY), 300),
  verifierCache: optional(seconds(0, 30 * DAY), 600),
  clockTolerance: optional(seconds(0, 3600), 60),
})
