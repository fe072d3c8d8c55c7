import { expect, test } from '@jest/globals'
import { anotherInstance, startRedisWorld } from '../support/redis-world.ts'
import { until } from '../support/until.ts'
import { basic, CONFIDENTIAL } from '../support/world.ts'

test('FLT-034: cut off from pub/sub only, silently: the look each second goes on, and the bound holds', async () => {
  const world = await startRedisWorld()
  const proxied = await startProxiedListener(world)
  const { body } = await world.signInAndGetTokens()
  expect((await proxied.call('/api/a', body.access_token)).status).toBe(200)
  const began = performance.now()
  const revoked = await world.post(
    world.endpoint('revoke'),
    { token: body.refresh_token },
    basic(CONFIDENTIAL.id, CONFIDENTIAL.secret),
  )
  expect(revoked.status).toBe(200)
  await until('it is refused', async () => (await proxied.call('/api/a', body.access_token)).status === 401)
  expect(performance.now() - began).toBeLessThan(1000 + 500)
  expect(proxied.aat.health()).toMatchObject({ ready: true, problems: [] })
})

test('closed while it subscribes again: no failure is left without a handler, which would end the process', async () => {
  const proxied = await anotherInstance(await startRedisWorld())
  const held = proxied.proxy.always('SUBSCRIBE', 'swallow_reply')
  const before = proxied.proxy.count('SUBSCRIBE')
  proxied.proxy.cutAll()
  await until('it subscribes again', () => proxied.proxy.count('SUBSCRIBE') > before)
  await proxied.aat.close()
  held()
  // The driver ends the connection in its own time; jest fails the test for a rejection that nobody handles.
  await until('the connections are gone', () => proxied.proxy.open === 0)
  await new Promise((resolve) => setImmediate(resolve))
})

/** An instance whose subscription is half-open: nothing of it gets through any more. */
async function startProxiedListener(world: Awaited<ReturnType<typeof startRedisWorld>>) {
  const instance = await anotherInstance(world, { ready: false })
  const held = instance.proxy.next('SUBSCRIBE', 'swallow_reply')
  instance.proxy.cutAll()
  await held
  await until('it is ready', () => instance.aat.health().ready)
  return instance
}
