import { verifyAtOnce, verifyLater } from '../protocol/jwa.ts'
import type { VerificationKey } from './compact-jws.ts'
import { createSuspects } from './suspects.ts'
import { createTurns } from './turns.ts'

/** Forged tokens over good ones, from anybody, that are a flood; and the most that are counted. */
const FLOOD = 64
const MOST = 512

/**
 * Checks signatures of tokens that are not known yet: at once where that is cheapest. Who presents forged ones again and again
 * waits behind others of his kind, one at a time, and in a flood of them, from whomever, all are checked off the main thread. So
 * it takes neither the threads nor the processor from everybody else.
 */
export function createSignatureChecks() {
  const suspects = createSuspects()
  const turnOfAnybody = createTurns(32, 2048)
  const turnOfSuspects = createTurns(1, 256)
  let forged = 0

  function note(isGood: boolean, from: string): boolean {
    suspects.judge(from, isGood)
    forged = isGood ? Math.max(forged - 1, 0) : Math.min(forged + 1, MOST)
    return isGood
  }

  /** @param from the address that presented it @throws (or rejects with) Overcrowded where too many are waiting */
  return function isSignedBy(
    { alg, publicKey }: VerificationKey,
    data: Buffer,
    signature: Buffer,
    from: string,
  ): boolean | Promise<boolean> {
    const isSuspect = suspects.has(from)
    const atOnce = isSuspect || forged >= FLOOD ? undefined : verifyAtOnce(alg, publicKey, data, signature)
    if (atOnce !== undefined) return note(atOnce, from)
    const check = async () => note(await verifyLater(alg, publicKey, data, signature), from)
    if (isSuspect) return turnOfSuspects(check)
    // Once it is his turn, what came of those who came with him counts.
    const checkOfAnybody = async () => (suspects.has(from) ? undefined : check())
    return turnOfAnybody(checkOfAnybody).then((isGood) => isGood ?? turnOfSuspects(check))
  }
}
