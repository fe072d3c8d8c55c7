import { expect, test } from '@jest/globals'
import { memoryStores } from '../../lib/index.ts'
import { memoryRing } from '../../lib/stores/memory/ring.ts'
import { readRing } from '../support/read-ring.ts'
import { headerOf, manualClock, startWorld } from '../support/world.ts'
import { DAY, START, signNow, startInstance, verifies } from './instances.ts'

/** Two instances of one deployment. The background work of the second one runs when the test says so. */
async function twoInstances() {
  const clock = manualClock()
  const stores = memoryStores({ clock })
  const one = await startWorld({ stores, clock })
  const ticks: (() => void)[] = []
  const two = await startWorld({
    stores,
    clock,
    issuer: one.issuer,
    aat: {
      every: (_seconds, task) => {
        ticks.push(task)
        return () => undefined
      },
    },
  })
  const tick = async () => {
    for (const task of ticks) task()
    await new Promise((resolve) => setImmediate(resolve))
    await new Promise((resolve) => setImmediate(resolve))
  }
  const close = async () => {
    await one.close()
    await two.close()
  }
  return { clock, stores, one, two, tick, close }
}

const jwksOf = async (base: string) =>
  ((await (await fetch(`${base}/.well-known/jwks.json`)).json()) as { keys: { kid: string }[] }).keys.map(
    ({ kid }) => kid,
  )

test('KEY-020, ALG-025: revoking a kid drops it, promotes the standby and refuses its tokens on both instances; families survive', async () => {
  const { one, two, tick, close } = await twoInstances()
  try {
    const tokens = (await one.signInAndGetTokens({ scope: 'a' })).body
    const old = tokens.access_token
    const { kid } = headerOf(old) as { kid: string }
    expect((await two.call('/api/a', old)).status).toBe(200)
    const standby = one.aat.keys.status().keys.find(({ state }) => state === 'standby')?.kid

    expect(await one.aat.keys.revoke(kid)).toBe('revoked')
    expect(await one.aat.keys.revoke('unknown')).toBe('unknown')
    expect((await one.call('/api/a', old)).status).toBe(401)
    expect((await one.call('/api/a', old)).headers.get('www-authenticate')).toContain('error="invalid_token"')
    expect(await jwksOf(one.base)).not.toContain(kid)
    await tick()
    expect((await two.call('/api/a', old)).status).toBe(401)
    expect(await jwksOf(two.base)).not.toContain(kid)
    expect(await jwksOf(two.base)).toEqual(await jwksOf(one.base))

    const refreshed = await two.refresh(tokens.refresh_token)
    expect(refreshed.status).toBe(200)
    expect(headerOf(refreshed.body.access_token).kid).toBe(standby)
    for (const world of [one, two])
      expect((await world.call('/api/a', refreshed.body.access_token)).status).toBe(200)
    expect(one.eventsNamed('key.revoked')).toMatchObject([{ kid }])
  } finally {
    await close()
  }
})

test('KEY-020: revoking the active key while it takes over promotes the standby, not the predecessor', async () => {
  const store = memoryRing()
  const clock = manualClock(START)
  const instance = startInstance({ store, clock })
  await instance.maintain()
  const first = instance.kidOf('active')
  clock.now = START + 30 * DAY
  await instance.maintain()
  const [second, third] = [instance.kidOf('active'), instance.kidOf('standby')]
  expect(instance.kidOf('retiring')).toBe(first)
  await instance.revoke(second ?? '')
  expect(instance.kidOf('active')).toBe(third)
  const signed = await signNow(instance, clock)
  expect(signed.kid).toBe(third)
  expect(await verifies(instance, signed)).toBe(true)
  // The predecessor does not get another life.
  expect(instance.status().keys.find(({ kid }) => kid === first)?.signsUntil).toBe(START + 30 * DAY + 95)
})

test('KEY-020: revoking the standby makes another one, and the active key signs until that may', async () => {
  const store = memoryRing()
  const clock = manualClock(START)
  const instance = startInstance({ store, clock })
  await instance.maintain()
  const [active, standby] = [instance.kidOf('active'), instance.kidOf('standby')]
  clock.now = START + 30 * DAY - 10
  await instance.revoke(standby ?? '')
  const fresh = instance.kidOf('standby')
  expect(fresh).not.toBe(standby)
  for (let hour = 0; hour < 24; hour++) {
    expect((await instance.signer()).kid).toBe(active)
    clock.advance(3600)
    await instance.maintain()
  }
  expect((await instance.signer()).kid).toBe(fresh)
  expect(instance.verificationKey(standby ?? '')).toBeUndefined()
})

test('KEY-020: revoking every key there is leaves one new active key and one new standby', async () => {
  const store = memoryRing()
  const clock = manualClock(START)
  const instance = startInstance({ store, clock })
  await instance.maintain()
  for (const { kid } of instance.status().keys) expect(await instance.revoke(kid)).toBe('revoked')
  const states = instance.status().keys.map(({ state }) => state)
  expect(states.filter((state) => state === 'active')).toHaveLength(1)
  expect(states.filter((state) => state === 'standby')).toHaveLength(1)
  expect(states.filter((state) => state === 'revoked').length).toBeGreaterThanOrEqual(2)
  expect(await verifies(instance, await signNow(instance, clock))).toBe(true)
  for (const record of (await readRing(store)).keys.filter(({ revokedAt }) => revokedAt !== undefined))
    expect(record).not.toHaveProperty('sealed')
})

test('KEY-020: revoking on two instances at once revokes once', async () => {
  const store = memoryRing()
  const clock = manualClock(START)
  const [one, two] = [startInstance({ store, clock }), startInstance({ store, clock })]
  await one.maintain()
  await two.maintain()
  const kid = one.kidOf('active') ?? ''
  expect(await Promise.all([one.revoke(kid), two.revoke(kid)])).toEqual(['revoked', 'revoked'])
  await Promise.all([one.maintain(), two.maintain()])
  expect(one.kidOf('active')).toBe(two.kidOf('active'))
  expect((await readRing(store)).keys.filter(({ revokedAt }) => revokedAt === undefined)).toHaveLength(2)
})

test('ALG-026: a token of a key that was removed is refused', async () => {
  const clock = manualClock()
  const stores = memoryStores({ clock })
  const world = await startWorld({ stores, clock, aat: { keys: { rotationInterval: DAY } } })
  try {
    const token = (await world.token({ grant_type: 'client_credentials', scope: 'a' })).body.access_token
    const { kid } = headerOf(token)
    expect((await world.call('/api/a', token)).status).toBe(200)
    clock.now = world.aat.keys.status().keys.find((key) => key.kid === kid)?.removedAt ?? 0
    expect(await jwksOf(world.base)).not.toContain(kid)
    expect((await world.call('/api/a', token)).status).toBe(401)
    await world.aat.ready()
    const next = (await world.token({ grant_type: 'client_credentials', scope: 'a' })).body.access_token
    expect((await world.call('/api/a', next)).status).toBe(200)
  } finally {
    await world.close()
  }
})

test('KEY-020: a look at the store that crosses a revocation does not bring the key back into this instance', async () => {
  // Answers of the store are heard some turns later, in every order.
  for (let slowRead = 0; slowRead < 16; slowRead++) {
    for (let slowWrite = 0; slowWrite < 8; slowWrite++) {
      const store = memoryRing()
      const clock = manualClock(START)
      const turns = async (count: number) => {
        for (let turn = 0; turn < count; turn++) await undefined
      }
      let isSlow = false
      const instance = startInstance({
        clock,
        store: {
          async read(known) {
            const ring = await store.read(known)
            if (isSlow) {
              isSlow = false
              await turns(slowRead)
            }
            return ring
          },
          async compareAndSet(...parameters) {
            const outcome = await store.compareAndSet(...parameters)
            await turns(slowWrite)
            return outcome
          },
        },
      })
      await instance.maintain()
      const kid = instance.kidOf('active') ?? ''
      // A key that is handing over: revoking it makes no new key, so nothing waits for one.
      clock.advance(DAY)
      await instance.rotate()
      expect(instance.kidOf('retiring')).toBe(kid)
      isSlow = true
      const look = instance.maintain()
      await instance.revoke(kid)
      expect(instance.verificationKey(kid)).toBeUndefined()
      await look
      expect(instance.verificationKey(kid)).toBeUndefined()
      expect((await instance.signer()).kid).not.toBe(kid)
    }
  }
})
