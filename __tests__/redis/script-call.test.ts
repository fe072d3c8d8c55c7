import { randomBytes } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import { Cluster, Command, Redis } from 'ioredis'
import type { RedisClient } from '../../lib/stores/redis/connection.ts'
import { type Argument, createSend, toResp } from '../../lib/stores/redis/script-call.ts'
import { sharedRedis } from '../support/redis-servers.ts'

const texts = ['', 'a', 'grüß 🌍', '\r\n$3\r\n', '\0', '\ud800', 'x'.repeat(70_000)]
const numbers = [0, -1, 1.5, Number.MAX_SAFE_INTEGER]
const bytes = [0, 1, 56, 70_000].map((size) => randomBytes(size))
const all: Argument[] = [...texts, ...numbers, ...bytes]
const cases: Argument[][] = [[], texts, numbers, bytes, all, all.toReversed(), ...all.map((one) => [one])]

test('a command is on the wire what the driver would make of it', () => {
  for (const args of cases) {
    const expected = new Command('EVALSHA', args, { replyEncoding: null }).toWritable({})
    expect(toResp('EVALSHA', args).equals(Buffer.from(expected as string))).toBe(true)
  }
})

test.each([
  ['a server', new Redis({ lazyConnect: true })],
  ['a cluster', new Cluster(['127.0.0.1:1'], { lazyConnect: true })],
])('what a client of %s is given writes itself', (_of, client) => {
  const given: Command[] = []
  const noting = Object.create(client, { sendCommand: { value: (command: Command) => given.push(command) } })
  void createSend(noting)('EVALSHA', all)
  const [command] = given
  expect([given.length, command instanceof Command, command?.constructor === Command]).toEqual([
    1,
    true,
    false,
  ])
  expect(command?.toWritable({})).toEqual(toResp('EVALSHA', all))
})

describe('a reply is bytes', () => {
  const ECHO = 'return ARGV'
  const sent = [...texts.map((text) => Buffer.from(text)), ...bytes]

  test('of a client of ioredis', async () => {
    const server = await sharedRedis()
    expect(await createSend(server.client())('EVAL', [ECHO, 0, ...texts, ...bytes])).toEqual(sent)
  })

  test('of something that shows no class of commands', async () => {
    const server = await sharedRedis()
    const redis = server.client()
    const other = { callBuffer: redis.callBuffer.bind(redis) } as unknown as RedisClient
    expect(await createSend(other)('EVAL', [ECHO, 0, ...texts, ...bytes])).toEqual(sent)
  })
})
