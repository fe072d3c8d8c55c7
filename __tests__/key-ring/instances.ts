import { createPublicKey, type JsonWebKey } from 'node:crypto'
import { createKeyRing, type KeyRing } from '../../lib/keys/key-ring.ts'
import type { RingTimes } from '../../lib/keys/schedule.ts'
import { deriveKeys } from '../../lib/protocol/derived-keys.ts'
import type { AatEvent } from '../../lib/protocol/events.ts'
import { type SigningAlgorithm, signWith, verifyLater } from '../../lib/protocol/jwa.ts'
import { systemRandom } from '../../lib/protocol/random.ts'
import type { KeyRecord, RingStore } from '../../lib/stores/ports.ts'
import { readRing } from '../support/read-ring.ts'

export const ISSUER = 'https://shop.example.com'
export const SECRET = 'the-first-secret-of-the-key-ring-tests'
export const DAY = 86_400
export const START = 1_800_000_000

/** The defaults of `createAat`. */
export const TIMES: RingTimes = {
  rotationInterval: 30 * DAY,
  publishBefore: DAY,
  jwksMaxAge: 300,
  verifierCache: 600,
  propagation: 5,
  clockTolerance: 60,
  longestToken: 300,
}

export interface InstanceOptions {
  store: RingStore
  clock: () => number
  alg?: SigningAlgorithm
  secrets?: string[]
  times?: Partial<RingTimes>
  issuer?: string
}

/** One instance's ring, with what it told. */
export function startInstance({
  store,
  clock,
  alg = 'ES256',
  secrets = [SECRET],
  times,
  issuer = ISSUER,
}: InstanceOptions) {
  const events: AatEvent[] = []
  const [newest = SECRET, ...older] = secrets
  const ring: KeyRing = createKeyRing({
    store,
    issuer,
    alg,
    rsaBits: 2048,
    times: { ...TIMES, ...times },
    secrets: [deriveKeys(newest), ...older.map(deriveKeys)],
    clock,
    random: systemRandom,
    emit: (name, detail) => events.push({ name, time: clock(), ...detail } as AatEvent) > 0,
  })
  return {
    ...ring,
    events,
    eventsNamed: (name: AatEvent['name']) => events.filter((event) => event.name === name),
    kidOf: (state: string) => ring.status().keys.find((key) => key.state === state)?.kid,
  }
}
export type Instance = ReturnType<typeof startInstance>

/** A store that can be cut off, and that counts. */
export function cuttable(store: RingStore) {
  const link = {
    isCut: false,
    writes: 0,
    async read(...parameters: Parameters<RingStore['read']>) {
      if (link.isCut) throw new Error('the store is away')
      return store.read(...parameters)
    },
    async compareAndSet(...parameters: Parameters<RingStore['compareAndSet']>) {
      if (link.isCut) throw new Error('the store is away')
      const answer = await store.compareAndSet(...parameters)
      if (answer.outcome === 'written') link.writes++
      return answer
    },
  }
  return link
}

/** A store that changes what is read, as somebody who can write to it would have. */
export function overwrite(store: RingStore) {
  return async (change: (keys: readonly KeyRecord[]) => unknown[]) => {
    const state = await readRing(store)
    const keys = change(structuredClone(state.keys) as KeyRecord[]) as KeyRecord[]
    const { outcome } = await store.compareAndSet(state, { issuer: state.issuer ?? ISSUER, keys })
    if (outcome !== 'written') throw new Error('a test that writes alone met a conflict')
  }
}

export interface SignedBytes {
  kid: string
  alg: SigningAlgorithm
  data: Buffer
  signature: Buffer
  exp: number
}

/** Signs as the mint does, and says when a token of the longest life that was signed now would end. */
export async function signNow(instance: Instance, clock: () => number, life = 300): Promise<SignedBytes> {
  const { kid, alg, privateKey } = await instance.signer()
  const data = Buffer.from(`${kid} at ${clock()}`)
  return { kid, alg, data, signature: await signWith(alg, privateKey, data), exp: clock() + life }
}

/** Does an instance's guard find the key, and is the signature right? */
export async function verifies(instance: Instance, { kid, data, signature }: SignedBytes): Promise<boolean> {
  const key = instance.verificationKey(kid)
  return key !== undefined && verifyLater(key.alg, key.publicKey, data, signature)
}

/**
 * A verifier elsewhere that fetches the JWK Set only when its copy is `maxAge` seconds old, never for a kid that it does
 * not know: the most stubborn cache that is planned for.
 */
export function cachingVerifier(
  jwks: () => ReturnType<KeyRing['jwks']>,
  clock: () => number,
  maxAge: number,
) {
  let fetchedAt = Number.NEGATIVE_INFINITY
  let keys: ReturnType<KeyRing['jwks']>['keys'] = []
  return async ({ kid, alg, data, signature }: SignedBytes): Promise<boolean> => {
    if (clock() - fetchedAt >= maxAge) {
      keys = jwks().keys
      fetchedAt = clock()
    }
    const jwk = keys.find((key) => key.kid === kid && key.alg === alg)
    if (jwk === undefined) return false
    return verifyLater(alg, createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' }), data, signature)
  }
}
