import { connect, type Socket } from 'node:net'
import { expect, test } from '@jest/globals'
import { startRedis } from '../support/redis-servers.ts'
import {
  closeLater,
  expectUnavailable,
  proxiedStores,
  reasonsOf,
  startRedisWorld,
  toldBy,
} from '../support/redis-world.ts'
import { until } from '../support/until.ts'

async function ownServer(args: string[] = []) {
  const server = await startRedis({ args })
  closeLater(() => server.stop())
  return server
}

/** So many connections that say nothing and come again as soon as they are refused, until they are told to leave. */
function crowd(port: number, size: number): () => void {
  const sockets = new Set<Socket>()
  let isOver = false
  function open(): void {
    if (isOver) return
    const socket = connect(port, '127.0.0.1')
    sockets.add(socket)
    socket.on('error', () => {})
    socket.resume().on('close', () => {
      sockets.delete(socket)
      setTimeout(open, 5)
    })
  }
  for (let count = 0; count < size; count++) open()
  const leave = () => {
    isOver = true
    for (const socket of sockets) socket.destroy()
  }
  closeLater(async () => leave())
  return leave
}

test('FLT-041: maxclients: 503 with the reason, no busy loop, and a connection as soon as there is room', async () => {
  const server = await ownServer(['--maxclients', '50'])
  const world = await startRedisWorld({ server })
  const token = (await world.signInAndGetTokens()).body.refresh_token
  const leave = crowd(server.port, 55)
  await until('it is full', () =>
    server.send('PING').then(
      () => false,
      () => true,
    ),
  )
  world.proxy.cutAll()
  // The others take each place that becomes free before it can.
  world.proxy.resetCounts()
  const began = performance.now()
  for (let round = 0; round < 3; round++) expectUnavailable(await world.refresh(token))
  const { stores } = await proxiedStores({ server, proxy: world.proxy })
  expect(await stores.check?.()).toEqual([
    { severity: 'unusable', message: expect.stringMatching(/maxclients|cannot be reached|did not answer/) },
  ])
  const seconds = (performance.now() - began) / 1000
  expect(world.proxy.accepted / seconds).toBeLessThan(60)
  leave()
  await until('it answers again', async () => (await world.refresh(token)).status === 200)
})

test('FLT-042: the password is changed, a right is taken away: 503, a clear reason, no crash; well again when it is put right', async () => {
  const server = await ownServer()
  await server.send('ACL', 'SETUSER', 'app', 'on', '>one', '~*', '&*', '+@all')
  const world = await startRedisWorld({ server, client: { username: 'app', password: 'one' } })
  let token = (await world.signInAndGetTokens()).body.refresh_token

  await server.send('ACL', 'SETUSER', 'app', '-setrange', '-set')
  expectUnavailable(await world.refresh(token))
  expect(reasonsOf(world).at(-1)).toBe(
    'NOPERM: the Redis user may not run a command or use a key that is needed; see the ACL line in the README',
  )
  await server.send('ACL', 'SETUSER', 'app', '+@all')
  token = (await world.refresh(token)).body.refresh_token

  await server.send('ACL', 'SETUSER', 'app', 'resetpass', '>two')
  await server.send('CLIENT', 'KILL', 'USER', 'app')
  world.proxy.resetCounts()
  const began = performance.now()
  expectUnavailable(
    await until('it is refused', async () => {
      const answer = await world.refresh(token)
      if (answer.status === 200) token = answer.body.refresh_token
      return answer.status !== 200 && answer
    }),
  )
  expectUnavailable(await world.refresh(token))
  expect(reasonsOf(world).at(-1)).toMatch(/WRONGPASS/)
  expect(world.proxy.accepted / ((performance.now() - began) / 1000)).toBeLessThan(60)
  await server.send('ACL', 'SETUSER', 'app', '>one')
  await until('it answers again', async () => (await world.refresh(token)).status === 200)
  expect(world.eventsNamed('refresh_token.reused')).toEqual([])
  for (const secret of [token, ' one', '"one"', "'one'"]) expect(toldBy(world)).not.toContain(secret)
})
