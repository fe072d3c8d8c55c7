import { describe, expect, test } from '@jest/globals'
import { createAat, memoryStores } from '../../lib/index.ts'
import { RESEAL_AFTER } from '../../lib/keys/ring-records.ts'
import { memoryRing } from '../../lib/stores/memory/ring.ts'
import { openRing } from '../support/forge.ts'
import { readRing } from '../support/read-ring.ts'
import { manualClock } from '../support/world.ts'
import {
  cuttable,
  DAY,
  type Instance,
  ISSUER,
  SECRET,
  START,
  signNow,
  startInstance,
  verifies,
} from './instances.ts'

const NEW = 'the-second-secret-of-the-key-ring-test'

test('KEY-017: a secret rotates in three deploys; every instance signs and verifies throughout, and the status says when the old one may go', async () => {
  const store = memoryRing()
  const clock = manualClock(START)
  const start = (secrets: string[]) => startInstance({ store, clock, secrets })
  const deploys = [[SECRET], [SECRET, NEW], [NEW, SECRET], [NEW]]
  let running: Instance[] = [start([SECRET]), start([SECRET]), start([SECRET])]
  for (const instance of running) await instance.maintain()
  const signed = []
  for (const secrets of deploys.slice(1)) {
    // One instance after the other, with old and new ones side by side.
    for (let index = 0; index < running.length; index++) {
      const deployed = start(secrets)
      await deployed.maintain()
      running = running.with(index, deployed)
      for (let tick = 0; tick < 3; tick++) {
        for (const instance of running) {
          await instance.maintain()
          signed.push(await signNow(instance, clock))
          for (const other of running) expect(await verifies(other, signed.at(-1) as never)).toBe(true)
        }
        clock.advance(1)
      }
    }
    if (secrets[0] === NEW) {
      // Not while instances of both kinds may run beside each other.
      clock.advance(RESEAL_AFTER)
      for (const instance of running) await instance.maintain()
      const [newId = '', oldId] = Object.keys(running[0]?.status().sealedBy ?? {})
      expect(running[0]?.status().sealedBy).toEqual({
        [newId]: 2,
        ...(oldId !== undefined && { [oldId]: 0 }),
      })
    }
  }
  expect(new Set(signed.map(({ kid }) => kid)).size).toBe(1)
  expect(running.flatMap(({ events }) => events.filter(({ name }) => name.startsWith('ring.')))).toEqual([])
})

test('KEY-017: records without a private half are re-sealed too, so the old secret can really go', async () => {
  const store = memoryRing()
  const clock = manualClock(START)
  // They stay published for longer than it takes until they are re-sealed.
  const times = { longestToken: 3600 }
  const old = startInstance({ store, clock, times })
  await old.maintain()
  clock.now = START + 30 * DAY
  await old.maintain()
  clock.advance(100)
  await old.maintain()
  expect(old.kidOf('retired')).toBeDefined()
  const both = startInstance({ store, clock, times, secrets: [NEW, SECRET] })
  await both.maintain()
  clock.advance(RESEAL_AFTER)
  await both.maintain()
  const last = startInstance({ store, clock, times, secrets: [NEW] })
  await last.maintain()
  expect(last.jwks().keys).toHaveLength(3)
})

test('KEY-017: instances of both kinds side by side do not re-seal what the others did, until 600 s have passed', async () => {
  const store = cuttable(memoryRing())
  const clock = manualClock(START)
  const before = startInstance({ store, clock, secrets: [SECRET, NEW] })
  await before.maintain()
  const after = startInstance({ store, clock, secrets: [NEW, SECRET] })
  const [oldId = '', newId = ''] = Object.keys(before.status().sealedBy)
  const began = store.writes
  for (let second = 0; second < 600; second++) {
    await after.maintain()
    await before.maintain()
    clock.advance(1)
  }
  expect(store.writes).toBe(began)
  expect(after.status().sealedBy).toEqual({ [oldId]: 2, [newId]: 0 })
  // One that starts now gives the deploy its time again; the one that waited re-seals, once.
  const late = startInstance({ store, clock, secrets: [NEW, SECRET] })
  await late.maintain()
  expect(store.writes).toBe(began)
  await after.maintain()
  expect(after.status().sealedBy).toEqual({ [oldId]: 0, [newId]: 2 })
  expect(store.writes).toBe(began + 1)
  await before.maintain()
  await late.maintain()
  expect(store.writes).toBe(began + 1)
  expect(await verifies(before, await signNow(after, clock))).toBe(true)
})

describe('KEY-019: the secret is lost', () => {
  test('KEY-019: an instance with another secret is not ready, says why, and makes no competing key', async () => {
    const stores = memoryStores()
    const options = { issuer: ISSUER, stores, resources: { [`${ISSUER}/api`]: { scopes: ['a'] } } }
    const right = createAat({ ...options, secrets: [SECRET] })
    await right.ready()
    const before = await readRing(stores.ring)
    const wrong = createAat({ ...options, secrets: [NEW] })
    const reasons: string[] = []
    wrong.on('ring.unusable', ({ reason }) => reasons.push(reason))
    await expect(wrong.ready()).rejects.toThrow(
      /sealed with a secret that is not configured here .*add the old secret/,
    )
    await expect(wrong.keys.rotate()).rejects.toThrow(/not configured here/)
    await expect(wrong.keys.revoke(before.keys[0]?.kid ?? '')).rejects.toThrow(/not configured here/)
    await expect(wrong.ready()).rejects.toThrow()
    expect(await readRing(stores.ring)).toEqual(before)
    expect(wrong.keys.status().keys).toEqual([])
    for (const text of reasons) {
      expect(text).not.toContain(SECRET)
      expect(text).not.toContain(NEW)
    }
    await right.close()
    await wrong.close()
  })

  test('KEY-019: when the right secret is added the instance becomes ready with the ring that was there', async () => {
    const store = memoryRing()
    const clock = manualClock(START)
    const first = startInstance({ store, clock })
    await first.maintain()
    const signed = await signNow(first, clock)
    await expect(startInstance({ store, clock, secrets: [NEW] }).maintain()).rejects.toThrow()
    const healed = startInstance({ store, clock, secrets: [NEW, SECRET] })
    await healed.maintain()
    expect(await verifies(healed, signed)).toBe(true)
    expect((await signNow(healed, clock)).kid).toBe(signed.kid)
  })
})

test('KEY-013: a dump of the ring shows sealed blobs only: no PEM, no private member, no PKCS #8', async () => {
  for (const alg of ['ES256', 'EdDSA', 'RS256'] as const) {
    const stores = memoryStores()
    await startInstance({ store: stores.ring, clock: () => START, alg }).maintain()
    const dump = JSON.stringify(await readRing(stores.ring))
    const keys = await openRing(stores, ISSUER, [SECRET])
    expect(keys).toHaveLength(2)
    for (const { record, privateKey } of keys) {
      const jwk = privateKey?.export({ format: 'jwk' }) ?? {}
      const der = privateKey?.export({ format: 'der', type: 'pkcs8' }) ?? Buffer.alloc(0)
      expect(jwk.d).toEqual(expect.any(String))
      const needles = [
        ...[jwk.d, jwk.p, jwk.q, jwk.dp, jwk.dq, jwk.qi].filter((value) => value !== undefined),
        ...['base64', 'base64url', 'hex'].map((encoding) => der.toString(encoding as BufferEncoding)),
        // The tail of the DER, whatever its offset in a longer base64 text.
        der.subarray(-24).toString('hex'),
      ]
      for (const needle of needles) expect(dump).not.toContain(needle)
      expect(Object.keys(record.publicJwk).sort()).toEqual(
        { ES256: ['crv', 'kty', 'x', 'y'], EdDSA: ['crv', 'kty', 'x'], RS256: ['e', 'kty', 'n'] }[alg],
      )
      expect(Buffer.from(record.sealed?.wrappedKey ?? '', 'base64url')).toHaveLength(12 + 32 + 16)
      expect(Buffer.from(record.sealed?.ciphertext ?? '', 'base64url')).toHaveLength(12 + der.length + 16)
    }
    expect(dump).not.toMatch(/PRIVATE|BEGIN|"d"|"p"|"q"/)
    const wrapped = keys.map(({ record }) => record.sealed?.wrappedKey)
    expect(new Set(wrapped).size).toBe(2)
  }
})

test('KEY-022: the private half of a key that no longer signs is gone from the store; its public half stays', async () => {
  const store = memoryRing()
  const clock = manualClock(START)
  const instance = startInstance({ store, clock })
  await instance.maintain()
  const signed = await signNow(instance, clock)
  const [first] = (await readRing(store)).keys
  clock.now = (first?.signsUntil ?? 0) - 1
  await instance.maintain()
  expect((await readRing(store)).keys[0]).toHaveProperty('sealed')
  clock.advance(1)
  await instance.maintain()
  const [record] = (await readRing(store)).keys
  expect(record?.kid).toBe(first?.kid)
  expect(record).not.toHaveProperty('sealed')
  expect(JSON.stringify(await readRing(store))).not.toContain(first?.sealed?.ciphertext)
  expect(await verifies(instance, signed)).toBe(true)
  expect(instance.status().keys[0]).toMatchObject({ state: 'retired', sealedBy: undefined })
})
