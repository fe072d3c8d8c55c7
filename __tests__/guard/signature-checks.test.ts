import { generateKeyPairSync, sign } from 'node:crypto'
import { expect, test } from '@jest/globals'
import { createSignatureChecks } from '../../lib/tokens/signature-checks.ts'
import { createTurns, Overcrowded, tellOnce } from '../../lib/tokens/turns.ts'

/** Tasks that end when a test says so, in the order in which they began. */
function tasks() {
  const begun: { name: string; end: () => void }[] = []
  const task = (name: string) => () =>
    new Promise<string>((resolve) => {
      begun.push({ name, end: () => resolve(name) })
    })
  return { begun, task, names: () => begun.map(({ name }) => name) }
}

const settled = () => new Promise((resolve) => setImmediate(resolve))

test('so many run at once; the others wait in the order in which they came', async () => {
  const inTurn = createTurns(2, 10)
  const { begun, task, names } = tasks()
  const all = ['a', 'b', 'c', 'd'].map((name) => inTurn(task(name)))
  await settled()
  expect(names()).toEqual(['a', 'b'])
  begun[1]?.end()
  await settled()
  expect(names()).toEqual(['a', 'b', 'c'])
  // Who comes while somebody waits does not get in before.
  const late = inTurn(task('late'))
  begun[0]?.end()
  await settled()
  expect(names()).toEqual(['a', 'b', 'c', 'd'])
  for (const { end } of begun) end()
  await settled()
  begun.at(-1)?.end()
  expect(await Promise.all([...all, late])).toEqual(['a', 'b', 'c', 'd', 'late'])
})

test('a task that fails gives its place on', async () => {
  const inTurn = createTurns(1, 10)
  const failing = inTurn(() => Promise.reject(new Error('no')))
  const next = inTurn(async () => 'next')
  await expect(failing).rejects.toThrow('no')
  expect(await next).toBe('next')
})

test('no more wait than may; those of one rush are told of once', async () => {
  const inTurn = createTurns(1, 4)
  const { begun, task } = tasks()
  const waiting = Array.from({ length: 5 }, (_, n) => inTurn(task(`${n}`)))
  const refused = await Promise.allSettled([inTurn(task('x')), inTurn(task('y'))])
  const reasons = refused.map((outcome) => outcome.status === 'rejected' && outcome.reason)
  expect(reasons.every((reason) => reason instanceof Overcrowded)).toBe(true)
  const told: string[] = []
  const references = reasons.map((reason, n) =>
    tellOnce(
      reason,
      () => `${n}`,
      (reference) => told.push(reference),
    ),
  )
  expect([references, told]).toEqual([['0', '0'], ['0']])
  for (let n = 0; n < 5; n++) {
    await settled()
    begun[n]?.end()
  }
  expect(await Promise.all(waiting)).toEqual(['0', '1', '2', '3', '4'])
  const others = Array.from({ length: 5 }, () => inTurn(() => new Promise(() => undefined)))
  const next = await inTurn(task('z')).catch((reason: unknown) => reason)
  expect(
    tellOnce(
      next,
      () => 'next',
      (reference) => told.push(reference),
    ),
  ).toBe('next')
  expect([told, others]).toMatchObject([['0', 'next'], { length: 5 }])
})

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const data = Buffer.from('a token')
const good = sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' })
const forged = Buffer.alloc(64, 7)
const key = { alg: 'ES256', publicKey } as const
const slow = generateKeyPairSync('ec', { namedCurve: 'P-384' })
const slowGood = sign('sha384', data, { key: slow.privateKey, dsaEncoding: 'ieee-p1363' })
const slowKey = { alg: 'ES384', publicKey: slow.publicKey } as const

test('what verifies fast is checked at once; the rest, and a flood from whomever, off the main thread', async () => {
  const isSignedBy = createSignatureChecks()
  expect(isSignedBy(key, data, good, 'one')).toBe(true)
  for (let n = 0; n < 64; n++) expect(isSignedBy(key, data, forged, `forger-${n}`)).toBe(false)
  const [honest, next] = [isSignedBy(key, data, good, 'one'), isSignedBy(key, data, forged, 'another')]
  expect([honest, next]).toEqual([expect.any(Promise), expect.any(Promise)])
  expect(await Promise.all([honest, next])).toEqual([true, false])
  // Once it is over, that is once as many good ones came as forged ones.
  expect(await isSignedBy(key, data, good, 'one')).toBe(true)
  expect(isSignedBy(key, data, good, 'one')).toBe(true)

  const later = isSignedBy(slowKey, data, slowGood, 'one')
  expect([later, await later]).toEqual([expect.any(Promise), true])
})

test('who floods with forged tokens waits behind his own; others are answered meanwhile', async () => {
  const isSignedBy = createSignatureChecks()
  for (let n = 0; n < 8; n++) expect(await isSignedBy(key, data, forged, 'flood')).toBe(false)

  const order: string[] = []
  const flood = Array.from({ length: 200 }, () =>
    Promise.resolve(isSignedBy(key, data, forged, 'flood')).then(() => order.push('forged')),
  )
  const honest = Array.from({ length: 20 }, (_, n) =>
    Promise.resolve(isSignedBy(key, data, good, `honest-${n}`)).then((isGood) =>
      order.push(isGood ? 'good' : 'wrong'),
    ),
  )
  await Promise.all(honest)
  expect(order.filter((each) => each === 'good')).toHaveLength(20)
  expect(order.filter((each) => each === 'forged').length).toBeLessThan(100)
  await Promise.all(flood)

  const rush = await Promise.allSettled(
    Array.from({ length: 400 }, () => isSignedBy(key, data, forged, 'flood')),
  )
  const refused = rush.filter(({ status }) => status === 'rejected')
  expect(refused).toHaveLength(400 - 257)
  // Good tokens make up for forged ones: an address of many is not held up for ever.
  for (let n = 0; n < 64; n++) expect(await isSignedBy(key, data, good, 'flood')).toBe(true)
  const calm = await Promise.allSettled(
    Array.from({ length: 400 }, () => isSignedBy(key, data, good, 'flood')),
  )
  expect(calm.every(({ status }) => status === 'fulfilled')).toBe(true)
})

test('who comes with very many forged tokens all at once waits behind his own as well, once some of them are checked', async () => {
  const isSignedBy = createSignatureChecks()
  let checked = 0
  const flood = Array.from({ length: 1000 }, async () => {
    await isSignedBy(slowKey, data, Buffer.alloc(96, 7), 'flood')
    checked++
  })
  expect(await isSignedBy(slowKey, data, slowGood, 'honest')).toBe(true)
  expect(checked).toBeLessThan(100)
  const refused = (await Promise.allSettled(flood)).filter(({ status }) => status === 'rejected')
  expect(refused.length).toBeGreaterThan(600)
})
