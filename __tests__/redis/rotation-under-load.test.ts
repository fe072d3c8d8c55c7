import { afterEach, expect, jest, test } from '@jest/globals'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { sharedRedis } from '../support/redis-servers.ts'
import { headerOf } from '../support/world.ts'
import { Instances, signIn, to } from './instances.ts'

let instances: Instances
afterEach(async () => {
  await instances.close()
  jest.restoreAllMocks()
})

test('FLT-032: keys rotate under load, day after day: verifiers with the default cache of jose never fail', async () => {
  const server = await sharedRedis()
  await server.flush()
  // One clock for the instances, the families and jose, whose cache asks Date.now().
  let ahead = 0
  const real = Date.now.bind(Date)
  jest.spyOn(Date, 'now').mockImplementation(() => real() + ahead * 1000)
  instances = new Instances(to(server), {
    redis: { clock: () => Date.now() / 1000 },
    aat: { refreshTokens: { issuance: 'rotate-and-reset', lifetime: 365 * 86_400 } },
  })
  const [one, two] = [await instances.start(), await instances.start()]
  const holders = await signIn(one, 4)
  const verifiers = [one, two, two].map(({ base }) =>
    createRemoteJWKSet(new URL(`${base}/.well-known/jwks.json`)),
  )
  const kids = new Set<unknown>()
  let verified = 0

  async function load(): Promise<void> {
    for (const holder of holders) {
      await holder.refresh([one, two])
      kids.add(headerOf(holder.access).kid)
      for (const jwks of verifiers) {
        await jwtVerify(holder.access, jwks, { issuer: one.issuer, currentDate: new Date(Date.now()) })
        verified++
      }
      for (const world of [one, two]) expect((await world.call('/api/a', holder.access)).status).toBe(200)
    }
  }

  for (let day = 0; day < 6; day++) {
    // Every other one by hand, as soon as its successor was published for long enough; the rest by the calendar.
    ahead += day % 2 === 0 ? 86_400 : 29.9 * 86_400
    await load()
    if (day % 2 === 0) await one.aat.keys.rotate()
    for (let minutes = 0; minutes < 12; minutes += 2) {
      await load()
      ahead += 120
      if (day % 2 === 1) ahead += 3600
    }
    await load()
  }
  expect(kids.size).toBeGreaterThanOrEqual(6)
  expect(verified).toBeGreaterThan(500)
}, 60_000)
