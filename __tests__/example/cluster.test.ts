import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, expect, jest, test } from '@jest/globals'
import { until } from '../support/until.ts'
import { Browser, headerOf } from '../support/world.ts'
import { root, run } from './run-example.ts'
import { shopAt } from './start-shop.ts'

jest.setTimeout(60_000)

const NAMES = ['A', 'B', 'C']
const at = (name: string) => ({ 'X-Instance': name })

let demo: Awaited<ReturnType<typeof startDemo>>
beforeEach(async () => {
  demo = await startDemo()
})

/** What `npm run example:cluster` runs, without the build before it. */
async function startDemo() {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const [program, ...script] = scripts['example:cluster'].split(' ')
  expect(program).toBe('node')
  const running = run(script, { PORT: '0' })
  const [, base = ''] = await running.said(/^(http:\S+) goes to the next of 3 instances[\s\S]*Ctrl-C stops/m)
  const pidOf = (name: string) => Number(new RegExp(`${name} +pid (\\d+)`).exec(running.output.out)?.[1])
  const pids = ['Redis', ...NAMES.map((name) => `Instance ${name}`)].map(pidOf)
  return { ...running, base, pids, pidOf: (name: string) => pidOf(`Instance ${name}`) }
}

function runs(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

const keysAt = (base: string) =>
  Promise.all(
    NAMES.map(async (name) => {
      const answer = await fetch(`${base}/.well-known/jwks.json`, { headers: at(name) })
      expect(answer.headers.get('x-instance')).toBe(name)
      return answer.text()
    }),
  )

test('three instances are one authorization server, and one of them is not missed', async () => {
  const { base, pids, pidOf } = demo
  const shop = shopAt(base)
  const ringAt = async (name: string) => {
    const { body } = await shop.call('GET', '/demo/ring', undefined, undefined, at(name))
    return body.keys.find(({ state }: { state: string }) => state === 'active').kid
  }
  const orders = (token: string, name: string) => shop.call('GET', '/api/orders', token, undefined, at(name))

  // Each request goes to the next one; sign-in and consent already went to all of them.
  const seen = new Set<string | null>()
  for (let count = 0; count < 3; count++) seen.add((await fetch(`${base}/live`)).headers.get('x-instance'))
  expect(seen).toEqual(new Set(NAMES))

  // A token of A, refreshed at B, used at C.
  const issued = await shop.tokensOf('alice', 'wonderland', 'orders:read', undefined, at('A'))
  const refreshed = await shop.refresh(issued.clientId, issued.body.refresh_token, at('B'))
  const used = await orders(refreshed.body.access_token, 'C')
  expect([issued.status, refreshed.status, used.status]).toEqual([200, 200, 200])
  expect([issued, refreshed, used].map(({ headers }) => headers.get('x-instance'))).toEqual(NAMES)

  // Keys: the same everywhere; rotated by a line in a terminal, everywhere.
  const [keys, ...others] = await keysAt(base)
  expect(others).toEqual([keys, keys])
  const oldKid = headerOf(refreshed.body.access_token).kid
  expect(await Promise.all(NAMES.map(ringAt))).toEqual([oldKid, oldKid, oldKid])
  expect((await shop.call('POST', '/demo/rotate', undefined, undefined, at('B'))).status).toBe(200)
  const newKid = await ringAt('B')
  expect(newKid).not.toBe(oldKid)
  await until(
    'all sign with the new key',
    async () => (await Promise.all(NAMES.map(ringAt))).every((kid) => kid === newKid),
    { timeout: 5000 },
  )
  const [rotated, ...same] = await keysAt(base)
  expect(same).toEqual([rotated, rotated])
  const after = await shop.refresh(issued.clientId, refreshed.body.refresh_token, at('A'))
  expect(headerOf(after.body.access_token).kid).toBe(newKid)
  expect((await orders(refreshed.body.access_token, 'C')).status).toBe(200)

  // Revoked at one, refused at each within two seconds.
  const second = await shop.tokensOf('bob', 'builder', 'orders:read')
  expect((await orders(second.body.access_token, 'A')).status).toBe(200)
  const form = { token: second.body.refresh_token, client_id: second.clientId }
  expect((await shop.post('/oauth/revoke', form, at('B'))).status).toBe(200)
  await until(
    'refused everywhere',
    async () => {
      const answers = await Promise.all(NAMES.map((name) => orders(second.body.access_token, name)))
      return answers.every(({ status }) => status === 401)
    },
    { timeout: 2000 },
  )

  // One is killed: who is signed in stays so, and tokens go on, also where the dead one is asked for.
  process.kill(pidOf('A'), 'SIGKILL')
  await demo.said(/Instance A \(pid \d+\) has ended: SIGKILL/)
  const browser = new Browser(base)
  for (const [name, value] of issued.browser.cookies) browser.cookies.set(name, value)
  for (let count = 0; count < 3; count++)
    expect(await (await browser.get('/products')).text()).toContain('Sign out')
  const later = await shop.refresh(issued.clientId, after.body.refresh_token, at('A'))
  expect(later.status).toBe(200)
  expect(later.headers.get('x-instance')).toBe('B')
  expect((await orders(later.body.access_token, 'C')).status).toBe(200)

  // Ctrl-C: nothing stays.
  demo.child.kill('SIGINT')
  expect(await demo.exit).toMatchObject({ code: 0, err: '' })
  expect(pids).toHaveLength(4)
  expect(pids.filter(runs)).toEqual([])
})

test('the rotation is for this machine; a kill -9 leaves no process behind either', async () => {
  const { base, child, pids } = demo
  const rotate = (headers: Record<string, string>) =>
    shopAt(base)
      .call('POST', '/demo/rotate', undefined, undefined, headers)
      .then(({ status }) => status)
  expect(await rotate({ 'Sec-Fetch-Site': 'cross-site' })).toBe(403)
  // The proxy says who asks; what a client says of it is dropped.
  expect(await rotate({ 'X-Forwarded-For': '192.0.2.1' })).toBe(200)
  child.kill('SIGKILL')
  await until('nothing stays', () => !pids.some(runs))
})
