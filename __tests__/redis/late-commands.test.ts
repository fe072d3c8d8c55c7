import { afterEach, expect, test } from '@jest/globals'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { sharedRedis } from '../support/redis-servers.ts'
import { Instances, signIn, to } from './instances.ts'

let instances: Instances
afterEach(() => instances.close())

test.each([
  ['with the usual grace', 10],
  ['without grace', 0],
])(
  'FLT-023: a refresh that reaches Redis a moment after its client got 503 spends nothing and is no reuse, %s',
  async (_, grace) => {
    const server = await sharedRedis()
    await server.flush()
    const proxy = await startFaultProxy(server.port)
    instances = new Instances(to(server), { aat: { refreshTokens: { grace } } })
    const fast = await instances.start()
    const slow = await instances.start({ connect: to(proxy), redis: { deadline: 300 } })
    const holders = await signIn(fast, 3)
    for (const holder of holders) {
      await holder.refresh(slow)
      const key = `aat:{${holder.grantId}}:f`
      let letGo = () => {}
      const gate = new Promise<void>((resolve) => {
        letGo = resolve
      })
      const reached = proxy.next(({ args }) => args.some((one) => String(one) === key), {
        requestAfter: gate,
      })
      const refused = slow.refresh(holder.token)
      await reached
      expect((await refused).status).toBe(503)
      // The client goes on at once, by the other instance; then what was under way arrives.
      await holder.refresh(fast)
      await holder.refresh(fast)
      letGo()
      // On the same connection, so behind it.
      await holder.refresh(slow)
      await holder.refresh(fast)
    }
    expect(instances.eventsNamed('refresh_token.reused')).toEqual([])
  },
)
