import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { type DpopKey, dpopKey } from '../support/dpop.ts'
import { makeSharedStores } from '../support/stores.ts'
import {
  basic,
  CONFIDENTIAL,
  type ManualClock,
  manualClock,
  startWorld,
  type World,
} from '../support/world.ts'

const SECRET = 'test-secret-0123456789-0123456789-0123456789'
const OTHER = 'another-secret-0123456789-0123456789-012345678'
const BASIC = basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)
const dpop = { nonces: 'required' as const }
const worlds: World[] = []
let clock: ManualClock
let key: DpopKey
let world: World
let stores: Awaited<ReturnType<typeof makeSharedStores>>
beforeEach(async () => {
  clock = manualClock()
  key = await dpopKey(clock)
  stores = await makeSharedStores(clock)
  world = await start()
})
afterEach(async () => {
  for (const one of worlds.splice(0)) await one.close()
})

async function start(secrets = [SECRET], issuer?: string): Promise<World> {
  const one = await startWorld({
    clock,
    stores: stores(),
    aat: { dpop, secrets },
    ...(issuer !== undefined && { issuer }),
  })
  worlds.push(one)
  return one
}

const ask = (claims: Record<string, unknown> = {}, one = world) =>
  one.token(
    { grant_type: 'client_credentials' },
    { ...BASIC, DPoP: key.proof('POST', `${one.issuer}/oauth/token`, claims) },
  )
async function nonceOf(one = world): Promise<string> {
  const answer = await ask({}, one)
  expect({ status: answer.status, error: answer.body.error }).toEqual({
    status: 400,
    error: 'use_dpop_nonce',
  })
  return answer.headers.get('dpop-nonce') ?? ''
}

test('a proof without a nonce is answered with one, and with it is good; each answer to a proof has the current one', async () => {
  const nonce = await nonceOf()
  expect(nonce).toMatch(/^[A-Za-z0-9_-]{27}$/)
  const answer = await ask({ nonce })
  expect(answer.body.token_type).toBe('DPoP')
  expect(answer.headers.get('dpop-nonce')).toBe(nonce)
  const bearer = await world.token({ grant_type: 'client_credentials' }, BASIC)
  expect(bearer.headers.has('dpop-nonce')).toBe(false)
  expect(world.eventsNamed('dpop_proof.refused')).toHaveLength(0)
})

test('a nonce is good for two to four minutes, whatever the clock of the client says', async () => {
  const nonce = await nonceOf()
  for (const iat of [0, 1, clock() + 1e6, clock() - 1e6]) expect((await ask({ nonce, iat })).status).toBe(200)
  clock.advance(120)
  expect((await ask({ nonce })).status).toBe(200)
  clock.advance(120)
  const late = await ask({ nonce })
  expect(late.body.error).toBe('use_dpop_nonce')
  expect((await ask({ nonce: late.headers.get('dpop-nonce') })).status).toBe(200)
})

test('a proof works once for as long as its nonce is good', async () => {
  const proof = key.proof('POST', `${world.issuer}/oauth/token`, { nonce: await nonceOf(), iat: 0 })
  const send = async () =>
    (await world.token({ grant_type: 'client_credentials' }, { ...BASIC, DPoP: proof })).body
  expect((await send()).token_type).toBe('DPoP')
  const errors = new Set<string>()
  for (let second = 0; second < 400; second += 10) {
    errors.add((await send()).error)
    clock.advance(10)
  }
  expect([...errors]).toEqual(['invalid_dpop_proof', 'use_dpop_nonce'])
})

test('DPO-013: a nonce of one instance is good at another, also while secrets rotate', async () => {
  const two = await start([SECRET], world.issuer)
  const rotating = await start([OTHER, SECRET], world.issuer)
  const nonce = await nonceOf()
  expect((await ask({ nonce }, two)).status).toBe(200)
  expect((await ask({ nonce }, rotating)).status).toBe(200)
  expect((await ask({ nonce: await nonceOf(rotating) }, rotating)).status).toBe(200)
})

test('what is no nonce of ours: another secret, another spelling, another period', async () => {
  const stranger = await startWorld({ clock, aat: { dpop, secrets: [OTHER] } })
  worlds.push(stranger)
  const nonce = await nonceOf()
  const bytes = Buffer.from(nonce, 'base64url')
  bytes.writeUInt32BE(bytes.readUInt32BE() + 1)
  for (const bad of [
    await nonceOf(stranger),
    `${nonce}=`,
    `${nonce}A`,
    nonce.slice(1),
    bytes.toString('base64url'),
    '',
    1,
    {},
    'x'.repeat(1000),
  ])
    expect([bad, (await ask({ nonce: bad })).body.error]).toEqual([bad, 'use_dpop_nonce'])
})

test('an instance whose clock is a period behind takes the nonce of one that is ahead', async () => {
  const nonce = await nonceOf()
  clock.advance(-120)
  expect((await ask({ nonce })).status).toBe(200)
})

test('where nonces are off, one that is there is no matter', async () => {
  const plain = await startWorld({ clock })
  worlds.push(plain)
  const answer = await ask({ nonce: 'of somebody else' }, plain)
  expect(answer.status).toBe(200)
  expect(answer.headers.has('dpop-nonce')).toBe(false)
})
