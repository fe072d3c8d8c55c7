import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { afterEach, describe, expect, test } from '@jest/globals'
import { createCoalescing } from '../../lib/stores/redis/coalesce.ts'
import type { RedisClient } from '../../lib/stores/redis/connection.ts'

const open: { destroy(): unknown }[] = []
afterEach(() => {
  for (const one of open.splice(0)) one.destroy()
})

/** A socket as a driver has one, and how often it was written to the operating system. */
async function socket(): Promise<{ stream: Socket; received: () => Promise<string>; writes: () => number }> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const accepted = once(server, 'connection')
  const stream = connect((server.address() as AddressInfo).port, '127.0.0.1')
  await once(stream, 'connect')
  const [theirs] = (await accepted) as [Socket]
  server.close()
  open.push(stream, theirs)
  let writes = 0
  for (const name of ['_write', '_writev'] as const) {
    const original = stream[name] as (...args: unknown[]) => void
    stream[name] = (...args: unknown[]) => {
      writes++
      original.apply(stream, args)
    }
  }
  return { stream, received: async () => String((await once(theirs, 'data'))[0]), writes: () => writes }
}

describe('what is sent in one turn', () => {
  test('goes out in one write, in its order, before the loop waits', async () => {
    const { stream, received, writes } = await socket()
    const coalesce = createCoalescing({ stream } as unknown as RedisClient)
    const text = received()
    for (const part of ['a', 'b', 'c']) {
      coalesce()
      stream.write(part)
    }
    expect(writes()).toBe(0)
    expect(await text).toBe('abc')
    expect(writes()).toBe(1)

    const more = received()
    coalesce()
    stream.write('d')
    expect(await more).toBe('d')
    expect(writes()).toBe(2)
  })

  test('after a reconnection goes to the new socket', async () => {
    const [first, second] = [await socket(), await socket()]
    const client = { stream: first.stream }
    const coalesce = createCoalescing(client as unknown as RedisClient)
    coalesce()
    first.stream.write('lost')
    first.stream.destroy()
    client.stream = second.stream
    const text = second.received()
    coalesce()
    second.stream.write('sent again')
    expect(await text).toBe('sent again')
  })

  test('by a cluster, which has a socket for each node, goes as it always did', () => {
    expect(() => createCoalescing({ isCluster: true } as unknown as RedisClient)()).not.toThrow()
  })
})
