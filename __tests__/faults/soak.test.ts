import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from '@jest/globals'
import { expectInvalidGrant, type Holder, Instances, signIn, to } from '../redis/instances.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { startRedis } from '../support/redis-servers.ts'
import { until } from '../support/until.ts'

const SECONDS = 60

test(`FLT-056: ${SECONDS} s of load with a fault every other second: no session lost, no false reuse, no key too many`, async () => {
  const server = await startRedis({ persistence: 'aof' })
  const proxy = await startFaultProxy(server.port)
  const instances = new Instances(to(proxy), { redis: { deadline: 500 } })
  const faults: (() => unknown)[] = [
    () => proxy.cutAll(),
    async () => {
      proxy.blackhole()
      await sleep(1200)
      proxy.release()
    },
    () => server.restart(),
    () => server.send('SCRIPT', 'FLUSH'),
    async () => {
      server.pause()
      await sleep(1200)
      server.resume()
    },
    () => server.send('CLIENT', 'KILL', 'TYPE', 'normal'),
    async () => {
      proxy.latency(40, 40)
      proxy.loss(0.05)
      await sleep(1000)
      proxy.latency(0)
      proxy.loss(0)
    },
    async () => {
      proxy.blackhole('replies')
      await sleep(700)
      proxy.release({ deliver: false })
    },
    async () => {
      await proxy.refuse()
      proxy.cutAll()
      await sleep(700)
      await proxy.refuse(false)
    },
  ]
  try {
    const worlds = await instances.startMany(2)
    const [world] = worlds as [(typeof worlds)[0]]
    const holders = await signIn(world, 24)
    const revoked = holders.splice(0, 4)
    for (const { grantId } of revoked) await world.aat.revoke({ grantId })
    const used = async () => Number((await server.info('memory')).used_memory)
    const before = await used()

    const end = performance.now() + SECONDS * 1000
    const load = Promise.all(
      holders.map(async (holder: Holder) => {
        while (performance.now() < end) {
          await holder.refresh(worlds)
          const { status } = await (worlds[1] as typeof world).call('/api/a', holder.access)
          expect([200, 503]).toContain(status)
          await sleep(50)
        }
      }),
    )
    load.catch(() => undefined)
    let count = 0
    while (performance.now() < end) {
      await Promise.race([load, sleep(1000)])
      await faults[count++ % faults.length]?.()
    }
    await load

    await until('all is well', () => worlds.every(({ aat }) => aat.health().ready), { timeout: 20_000 })
    expect(instances.eventsNamed('refresh_token.reused')).toEqual([])
    // A server that is killed may lose what it acknowledged and had not written: families then go on from the client's token.
    const forwards = instances.eventsNamed('refresh_token.fast_forwarded').length
    for (const holder of holders) await holder.refresh(worlds)
    for (const { token, access } of revoked) {
      await expectInvalidGrant(world, token)
      for (const one of worlds) expect((await one.call('/api/a', access)).status).toBe(401)
    }

    // A family and its code for each sign-in (of the first only the code), and what does not grow.
    const keys: string[] = await server.send('KEYS', '*')
    const ending = (end: string) => keys.filter((key) => key.endsWith(`}:${end}`))
    expect(ending('f')).toHaveLength(24)
    expect(ending('c')).toHaveLength(25)
    const others = keys
      .filter((key) => !/\}:[fct]$/.test(key))
      .map((key) => key.replace(/^aat:\{.{22,}\}/, '…'))
    // Ring, log, lists of the subject and the client, the consents, who is there, and a few counters of rate limits.
    expect(others.length).toBeLessThan(16)
    expect((await used()) - before).toBeLessThan(2 ** 20)
    const refreshes = holders.reduce((sum, { tokens }) => sum + tokens.length, 0)
    console.log(
      `FLT-056: ${refreshes} refreshes, ${count} faults, ${forwards} fast-forwards, keys ${keys.length}, others ${others.sort()}`,
    )
  } finally {
    await instances.close()
    await proxy.close()
    await server.stop()
  }
}, 150_000)
