import { expect, test } from '@jest/globals'
import { until } from '../support/until.ts'
import { isPending, Proxied } from './proxied.ts'

const world = new Proxied({ random: () => 0.5 })

test.each([2, 3] as const)(
  'RESP %d passes unchanged, and commands and replies are counted',
  async (protocol) => {
    const client = await world.connected({ protocol })
    world.proxy.resetCounts()
    const big = Buffer.alloc(300_000, 'a\r\n$5\r\n*3\r\n')
    await client.set('big', big)
    expect(big.equals((await client.getBuffer('big')) ?? Buffer.alloc(0))).toBe(true)
    expect(await client.multi().set('a', 1).get('a').get('none').exec()).toEqual([
      [null, 'OK'],
      [null, '1'],
      [null, null],
    ])
    await client.hset('hash', { a: 1, b: 2 })
    expect(await client.hgetall('hash')).toEqual({ a: '1', b: '2' })
    await expect(client.eval("return redis.error_reply('MY error')", 0)).rejects.toThrow('MY error')
    const messages: unknown[] = []
    const subscriber = await world.connected({ protocol })
    subscriber.on('message', (...message) => messages.push(message))
    await subscriber.subscribe('one', 'two')
    await client.publish('two', 'hello')
    await until('the message is here', () => messages.length === 1)
    expect(messages).toEqual([['two', 'hello']])
    await subscriber.unsubscribe('one', 'two')
    expect(await subscriber.get('a')).toBe('1')
    expect([world.proxy.count('HSET'), world.proxy.count('set'), world.proxy.count('EVAL')]).toEqual([
      1, 2, 1,
    ])
    expect(world.proxy.replies).toBeGreaterThanOrEqual(world.proxy.count())
  },
)

test('cut_before: the server does not execute it; ioredis sends it again, and it runs once', async () => {
  const client = await world.connected()
  const hit = world.proxy.next('INCR', 'cut_before')
  expect(await client.incr('n')).toBe(1)
  expect(await hit).toMatchObject({ name: 'INCR', text: ['n'] })
  expect([world.proxy.count('INCR'), world.proxy.accepted]).toEqual([2, 2])
})

test('cut_after: the server executes it; ioredis sends it again, and it runs twice', async () => {
  const client = await world.connected()
  world.proxy.next(({ name, text }) => name === 'INCR' && text[0] === 'n', 'cut_after')
  expect(await client.incr('other')).toBe(1)
  expect(await client.incr('n')).toBe(2)
  expect([await world.stored('n'), await world.stored('other')]).toEqual(['2', '1'])
})

test('cut_after without re-sending: the command fails although it was executed', async () => {
  const client = await world.connected({ autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 })
  world.proxy.next('INCR', 'cut_after')
  await expect(client.incr('n')).rejects.toThrow('retries per request')
  expect(await world.stored('n')).toBe('1')
})

test('a cut in the middle of a reply: nothing half is taken for an answer', async () => {
  const client = await world.connected({ autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 })
  await client.set('text', '0123456789')
  world.proxy.next('GET', { cutReplyAfter: 7 })
  await expect(client.get('text')).rejects.toThrow('retries per request')
  await until('it is connected again', () => client.status === 'ready')
  expect(await client.get('text')).toBe('0123456789')
})

test('of pipelined commands those before the cut are executed', async () => {
  const client = await world.connected({ autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 })
  world.proxy.next(({ text }) => text[0] === 'b', 'cut_before')
  const results = await Promise.allSettled([client.set('a', 1), client.set('b', 1), client.set('c', 1)])
  expect(results[1]?.status).toBe('rejected')
  await until('the first was executed', async () => (await world.stored('a')) === '1')
  expect([await world.stored('b'), await world.stored('c')]).toEqual([null, null])
})

test.each([
  ['swallow_request', null],
  ['swallow_reply', '1'],
] as const)('%s: the client waits; the release brings it late', async (action, expected) => {
  const client = await world.connected()
  const other = await world.connected()
  const hit = world.proxy.next('INCR', action)
  const answers = Promise.all([client.incr('n'), client.incr('n')])
  await hit
  if (action === 'swallow_reply')
    await until('both were executed', async () => (await world.stored('n')) === '2')
  else expect(await world.stored('n')).toBe(expected)
  expect(await other.ping()).toBe('PONG')
  expect(await isPending(answers)).toBe(true)
  world.proxy.release()
  expect(await answers).toEqual([1, 2])
})

test('drop_reply and drop_request: the next reply is taken for this one', async () => {
  const client = await world.connected()
  await client.mset({ a: 'A', b: 'B' })
  world.proxy.next('GET', 'drop_reply')
  const first = client.get('a')
  void client.get('b').catch(() => {})
  expect(await first).toBe('B')
  const second = await world.connected()
  world.proxy.next('GET', 'drop_request')
  const dropped = second.get('a')
  void second.get('b').catch(() => {})
  expect(await dropped).toBe('B')
})

test('duplicate: executed twice, and the client does not see it', async () => {
  const client = await world.connected()
  world.proxy.next('INCR', 'duplicate')
  expect(await Promise.all([client.incr('n'), client.get('n')])).toEqual([1, '2'])
  expect(await client.ping()).toBe('PONG')
})

test('duplicate_both and duplicate_reply: replies are out of step from there on', async () => {
  const client = await world.connected()
  world.proxy.next('INCR', 'duplicate_both')
  expect(await Promise.all([client.incr('n'), client.ping(), client.get('n')])).toEqual([1, 2, 'PONG'])
  const second = await world.connected()
  world.proxy.next('GET', 'duplicate_reply')
  expect(await Promise.all([second.get('n'), second.echo('x')])).toEqual(['2', '2'])
  expect(await world.stored('n')).toBe('2')
})

test('delays and gates: in time, in order', async () => {
  const client = await world.connected()
  world.proxy.next('SET', { delayRequest: 60 })
  const before = performance.now()
  expect(await Promise.all([client.set('k', 'v'), client.get('k')])).toEqual(['OK', 'v'])
  expect(performance.now() - before).toBeGreaterThanOrEqual(59)

  let open = () => {}
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  const hit = world.proxy.next('INCR', { replyAfter: gate })
  const answer = client.incr('n')
  await hit
  await until('it was executed', async () => (await world.stored('n')) === '1')
  expect(await isPending(answer)).toBe(true)
  open()
  expect(await answer).toBe(1)

  world.proxy.latency(20, 10)
  const slow = performance.now()
  await client.ping()
  expect(performance.now() - slow).toBeGreaterThanOrEqual(39)
})

test('loss shows as a stall', async () => {
  const client = await world.connected()
  world.proxy.loss(0.4, 1_000_000)
  expect(await client.ping()).toBe('PONG')
  world.proxy.loss(0.6, 40)
  const before = performance.now()
  expect(await client.ping()).toBe('PONG')
  expect(performance.now() - before).toBeGreaterThanOrEqual(79)
})
