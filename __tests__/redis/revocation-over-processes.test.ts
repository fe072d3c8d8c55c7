import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { InstanceProcess, stopAllInstances } from '../support/instance-processes.ts'
import { sharedRedis } from '../support/redis-servers.ts'
import { until } from '../support/until.ts'
import { basic, CONFIDENTIAL, claimsOf, headerOf } from '../support/world.ts'

/** Four processes, of which every one has verified and remembered the tokens that are revoked at the first. */
const COUNT = 4
let processes: InstanceProcess[]
let bases: string[]

beforeAll(async () => {
  const server = await sharedRedis()
  await server.flush()
  processes = Array.from({ length: COUNT }, () => new InstanceProcess())
  const ports = await Promise.all(
    processes.map((one) => one.start({ redis: server.address, stores: { deadline: 5000 } })),
  )
  await Promise.all(processes.map((one) => one.call('ready')))
  bases = ports.map(([port]) => `http://127.0.0.1:${port}`)
})
afterAll(stopAllInstances)

async function issue(base: string): Promise<string> {
  const response = await fetch(`${base}/oauth/token`, {
    method: 'POST',
    headers: basic(CONFIDENTIAL.id, CONFIDENTIAL.secret),
    body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'a' }),
  })
  const body = (await response.json()) as { access_token: string }
  return body.access_token
}

async function statusAt(base: string, token: string): Promise<number> {
  const response = await fetch(`${base}/api/a`, { headers: { Authorization: `Bearer ${token}` } })
  await response.arrayBuffer()
  return response.status
}

async function expectKnown(token: string): Promise<void> {
  for (const base of bases) for (let use = 0; use < 2; use++) expect(await statusAt(base, token)).toBe(200)
}

/** Milliseconds from a moment until a token is refused there; never anything but 200 or 401. */
async function refusedAfter(base: string, token: string, since: number): Promise<number> {
  for (;;) {
    const status = await statusAt(base, token)
    const passed = performance.now() - since
    if (status === 401) return passed
    expect(status).toBe(200)
    expect(passed).toBeLessThan(10_000)
  }
}

test('REV-014: what is revoked at one process is refused at three others, which remembered it, at once and always within a second', async () => {
  const times: number[] = []
  for (let round = 0; round < 40; round++) {
    const token = await issue(bases[round % COUNT] as string)
    await expectKnown(token)
    const revoked = processes[0]?.call('revoke', { jti: claimsOf(token).jti })
    await revoked
    const since = performance.now()
    times.push(...(await Promise.all(bases.map((base) => refusedAfter(base, token, since)))))
  }
  times.sort((a, b) => a - b)
  expect(times[Math.floor(times.length / 2)]).toBeLessThan(100)
  expect(times.at(-1)).toBeLessThan(1000)
})

test('ALG-025, KEY-020, FLT-046: a key that is revoked under load is refused by every process within a second, and each issues on', async () => {
  const old = await Promise.all(bases.map(issue))
  const kid = String(headerOf(old[0] as string).kid)
  const jwksOf = async (base: string) =>
    (await (await fetch(`${base}/.well-known/jwks.json`)).json()) as { keys: { kid: string }[] }
  for (const token of old) {
    expect(headerOf(token).kid).toBe(kid)
    await expectKnown(token)
  }
  let isLoaded = true
  const issued: string[] = []
  const failed: unknown[] = []
  const load = bases.map(async (base) => {
    while (isLoaded) {
      try {
        issued.push(await issue(base))
      } catch (error) {
        failed.push(error)
      }
    }
  })
  await until('load', () => issued.length > 40)
  expect(await processes[0]?.call('revokeKey', kid)).toBe('revoked')
  const since = performance.now()
  const times = await Promise.all(
    bases.flatMap((base) => old.map((token) => refusedAfter(base, token, since))),
  )
  expect(Math.max(...times)).toBeLessThan(1000)
  isLoaded = false
  await Promise.all(load)
  expect(failed).toEqual([])

  // No process signs with it or publishes it any more, though only the first was told.
  await until('the next key everywhere', async () =>
    (await Promise.all(bases.map(issue))).every((token) => headerOf(token).kid !== kid),
  )
  expect(performance.now() - since).toBeLessThan(1000)
  const young = await Promise.all(bases.map(issue))
  expect(new Set(young.map((token) => headerOf(token).kid)).size).toBe(1)
  for (const token of young) await expectKnown(token)
  for (const base of bases) expect((await jwksOf(base)).keys.map((key) => key.kid)).not.toContain(kid)
})
