import { afterEach, beforeEach, expect, test } from '@jest/globals'
import express from 'express'
import { type Aat, type AatOptions, createAat, requireAat, tokenEndpoint } from '../../lib/index.ts'
import { lineTo, site } from '../revocation-log/instances.ts'
import { basic, manualClock, readAnswer, startWorld, type World } from '../support/world.ts'

const warnings: string[] = []
const { emitWarning } = process
const closers: (() => Promise<unknown>)[] = []
beforeEach(() => {
  warnings.length = 0
  process.emitWarning = (warning: unknown) => void warnings.push(String(warning))
})
afterEach(async () => {
  process.emitWarning = emitWarning
  for (const close of closers.splice(0).reverse()) await close()
})

const faults = () => warnings.filter((warning) => warning.includes('a fault in'))

/** An instance to whose events nobody listens, beside one that issues tokens. */
async function startUnheard(options: (of: World, place: ReturnType<typeof site>) => Partial<AatOptions>) {
  const place = site()
  const world = await startWorld(place)
  closers.push(world.close)
  const aat: Aat = createAat({
    issuer: world.issuer,
    secrets: ['test-secret-0123456789-0123456789-0123456789'],
    resources: { [world.resource]: { scopes: ['a'] } },
    clients: [{ clientId: 'machine', clientSecret: 'secret'.repeat(6), grantTypes: ['client_credentials'] }],
    stores: place.stores,
    clock: place.clock,
    every: () => () => undefined,
    ...options(world, place),
  })
  closers.push(() => aat.close())
  const app = express()
    .get('/a', requireAat(aat), (_req, res) => void res.json({}))
    .use('/token', tokenEndpoint(aat))
  const server = app.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  closers.push(() => new Promise((resolve) => server.close(resolve).closeAllConnections()))
  const base = `http://127.0.0.1:${(server.address() as { port: number }).port}`
  const { body } = await world.signInAndGetTokens({ scope: 'a' })
  const headers = { Authorization: `Bearer ${body.access_token}` }
  return { world, aat, base, call: async () => readAnswer(await fetch(`${base}/a`, { headers })) }
}

test('a log that is away for long fails every request, and is told of once a minute, in the store’s words', async () => {
  const monotonic = manualClock(1000)
  let line: ReturnType<typeof lineTo> | undefined
  const { world, aat, call } = await startUnheard((_, { stores }) => {
    line = lineTo(stores.revocations)
    return { monotonic, stores: { ...stores, revocations: line.log } }
  })
  await aat.ready()
  expect((await call()).status).toBe(200)
  if (line !== undefined) line.isCut = true
  monotonic.advance(6)
  const references: string[] = []
  // Some ask the store in vain, the others come within a second of those.
  for (let count = 0; count < 20; count++) {
    const { status, text } = await call()
    expect(status).toBe(503)
    references.push(/\(reference (.{12})\)/.exec(text)?.[1] ?? '')
    monotonic.advance(0.5)
  }
  const told = (reference = '') => `a fault in requireAat (reference ${reference}): the log is away`
  expect(faults()).toEqual([expect.stringContaining(told(references[0]))])
  world.clock.advance(60)
  await call()
  expect(faults()).toHaveLength(2)
})

test('a ring without a key that this instance can use: once a minute too, with the reference of the first answer', async () => {
  const { base } = await startUnheard(() => ({ secrets: ['another-secret-0123456789-0123456789-01234567'] }))
  const request = {
    method: 'POST',
    headers: basic('machine', 'secret'.repeat(6)),
    body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'a' }),
  }
  const references: string[] = []
  for (let count = 0; count < 5; count++) {
    const answer = await readAnswer(await fetch(`${base}/token`, request))
    expect([answer.status, answer.body.error]).toEqual([503, 'temporarily_unavailable'])
    references.push(/\(reference (.{12})\)$/.exec(answer.body.error_description)?.[1] ?? '')
  }
  expect(new Set(references).size).toBe(5)
  const told = `a fault in token (reference ${references[0]}): the key ring in the store is sealed with a secret`
  expect(faults()).toEqual([expect.stringContaining(told)])
})
