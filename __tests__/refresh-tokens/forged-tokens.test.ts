import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { memoryStores } from '../../lib/index.ts'
import { type ManualClock, manualClock, startWorld, type World } from '../support/world.ts'
import { expectRefused } from './instances.ts'

const PREFIX = 'aat_rt_'
let world: World
let clock: ManualClock
/** Calls of the grants store since the last look: a forgery costs none. */
let calls = 0
let first: string
let second: string
let grantId: string
let stores: ReturnType<typeof memoryStores>
beforeAll(async () => {
  clock = manualClock()
  stores = memoryStores({ clock })
  const counted = Object.fromEntries(
    Object.entries(stores.grants).map(([name, verb]) => [
      name,
      (...args: unknown[]) => {
        calls++
        return (verb as (...args: unknown[]) => unknown)(...args)
      },
    ]),
  ) as unknown as typeof stores.grants
  world = await startWorld({ clock, stores: { ...stores, grants: counted } })
  const { body } = await world.signInAndGetTokens({ scope: 'a b' })
  first = body.refresh_token
  second = (await world.refresh(first)).body.refresh_token
  grantId = (await world.aat.grants.list({ subject: 'alice' })).grants[0]?.grantId as string
})
afterAll(() => world.close())

/** Each is refused before any store is asked, and the family is as it was. */
async function expectForgeries(tokens: string[], errors = ['invalid_grant']): Promise<void> {
  const before = await stores.grants.readFamily(grantId)
  calls = 0
  for (const token of tokens) {
    const answer = await world.refresh(token)
    expect({ token, status: answer.status, known: errors.includes(answer.body.error) }).toEqual({
      token,
      status: 400,
      known: true,
    })
  }
  expect(calls).toBe(0)
  expect(await stores.grants.readFamily(grantId)).toEqual(before)
}

test('RTK-022: every bit of the current token flipped: none is accepted, no store is asked, no family changes', async () => {
  const bytes = Buffer.from(second.slice(PREFIX.length), 'base64url')
  const forgeries: string[] = []
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = Buffer.from(bytes)
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
    forgeries.push(PREFIX + flipped.toString('base64url'))
  }
  expect(forgeries).toHaveLength(68 * 8)
  await expectForgeries(forgeries)
})

test('RTK-022: the tag of another token, of another family, and parts put together are no token', async () => {
  const other = (await world.signInAndGetTokens({ scope: 'a b' })).body.refresh_token as string
  const [one, two, three] = [first, second, other].map((token) =>
    Buffer.from(token.slice(PREFIX.length), 'base64url'),
  ) as [Buffer, Buffer, Buffer]
  const join = (...parts: Buffer[]) => PREFIX + Buffer.concat(parts).toString('base64url')
  await expectForgeries([
    join(two.subarray(0, 52), one.subarray(52)),
    join(one.subarray(0, 20), two.subarray(20)),
    join(two.subarray(0, 16), one.subarray(16, 20), two.subarray(20)),
    join(three.subarray(0, 16), two.subarray(16)),
    join(two.subarray(0, 16), three.subarray(16)),
    join(two.subarray(0, 52), Buffer.alloc(16)),
    join(two.subarray(0, 52)),
    join(two, Buffer.alloc(1)),
    join(),
  ])
})

test('RTK-023: another spelling of the current token is no token', async () => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const text = second.slice(PREFIX.length)
  const bytes = Buffer.from(text, 'base64url')
  const twins = [...alphabet]
    .map((last) => text.slice(0, -1) + last)
    .filter((twin) => twin !== text && Buffer.from(twin, 'base64url').equals(bytes))
  // 68 bytes leave two bits over: three other spellings that a lenient decoder takes.
  expect(twins).toHaveLength(3)
  await expectForgeries([
    ...twins.map((twin) => PREFIX + twin),
    `${second}=`,
    `${second}==`,
    ` ${second}`,
    `${second} `,
    `${second}.`,
    `${second}\u00a0`,
    PREFIX.toUpperCase() + text,
    `AAT_rt_${text}`,
    PREFIX + text.toLowerCase(),
    PREFIX + text.toUpperCase(),
    PREFIX + bytes.toString('base64'),
    PREFIX + bytes.toString('hex'),
    text,
    `${PREFIX}${second}`,
    `aat_ac_${text}`,
  ])
})

// A control character is in no parameter at all, so that is invalid_request and not invalid_grant.
test('RTK-023: control characters beside it, and tokens of no length', async () => {
  await expectForgeries(
    [`${second}\n`, `${second}\r\n`, `\t${second}`, `${second}\u0000`, `\u0000`],
    ['invalid_request'],
  )
  await expectForgeries(['', ' '], ['invalid_request', 'invalid_grant'])
  await expectForgeries(['x'.repeat(60_000), PREFIX + 'A'.repeat(50_000)])
  expectRefused(await world.refresh('x'.repeat(70_000)), 'invalid_request', 413)
})

test('RTK-023: the token twice is a malformed request, and consumes nothing', async () => {
  calls = 0
  const twice = await world.token([
    ['grant_type', 'refresh_token'],
    ['refresh_token', second],
    ['refresh_token', second],
  ])
  expectRefused(twice, 'invalid_request')
  expectRefused(await world.token({ grant_type: 'refresh_token' }), 'invalid_request')
  expect(calls).toBe(0)
})

test('after all of it the token works', async () => {
  clock.advance(60)
  expect((await world.refresh(second)).status).toBe(200)
})
