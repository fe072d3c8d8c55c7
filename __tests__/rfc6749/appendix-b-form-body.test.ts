import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import express, { type Express } from 'express'
import { parseParameters } from '../../lib/protocol/form.ts'
import { basic, CONFIDENTIAL, readAnswer, startWorld, type World } from '../support/world.ts'

const FORM = 'application/x-www-form-urlencoded'

/** What the app may have mounted ahead of the suite. */
const parsers: Record<string, ((app: Express) => void) | undefined> = {
  'no parser': undefined,
  'json and urlencoded (extended)': (app) => app.use(express.json(), express.urlencoded({ extended: true })),
  'json and urlencoded (simple)': (app) => app.use(express.json(), express.urlencoded({ extended: false })),
  'text by its default type': (app) => app.use(express.text()),
  'text of everything': (app) => app.use(express.text({ type: () => true })),
  'raw by its default type': (app) => app.use(express.raw()),
  'raw of everything': (app) => app.use(express.raw({ type: () => true })),
}

describe.each(Object.entries(parsers))('behind %s', (_name, before) => {
  let world: World
  let refreshToken: string
  beforeAll(async () => {
    world = await startWorld({ ...(before !== undefined && { before }) })
    const { status, body } = await world.signInAndGetTokens({ scope: 'a b' })
    expect(status).toBe(200)
    refreshToken = body.refresh_token
  })
  afterAll(() => world.close())

  async function send(
    body: string | Buffer<ArrayBuffer>,
    headers: Record<string, string> = { 'Content-Type': FORM },
  ) {
    return readAnswer(
      await fetch(world.endpoint('token'), {
        method: 'POST',
        body,
        headers: { ...basic(CONFIDENTIAL.id, CONFIDENTIAL.secret), ...headers },
      }),
    )
  }

  /** The refresh token was not touched: it still is the family's newest. */
  async function expectUntouched() {
    const { status, body } = await world.refresh(refreshToken)
    expect(status).toBe(200)
    expect(world.eventsNamed('token.retried')).toHaveLength(0)
    refreshToken = body.refresh_token
  }

  test('TEP-011: a good request is answered as without the parser', async () => {
    const { status, body } = await send('grant_type=client_credentials&scope=a+b&foo=bar')
    expect(status).toBe(200)
    expect(body.scope).toBe('a b')
    const again = await world.signInAndGetTokens({ scope: 'b' })
    expect(again.status).toBe(200)
    expect(again.body.scope).toBe('b')
  })

  test('TEP-011: the resource parameter may repeat, and repeated ones are seen as such', async () => {
    const twice = `grant_type=client_credentials&resource=${encodeURIComponent(world.resource)}&resource=${encodeURIComponent(world.otherResource)}`
    const { status, body } = await send(twice)
    expect([status, body.error]).toEqual([400, 'invalid_target'])
  })

  test.each(['utf-8', 'UTF-8', '"utf-8"'])('TEP-010: charset=%s is accepted', async (charset) => {
    const { status } = await send('grant_type=client_credentials', {
      'Content-Type': `${FORM}; charset=${charset}`,
    })
    expect(status).toBe(200)
  })

  test.each(['iso-8859-1', 'utf-7', 'utf-16le', 'windows-1252', 'utf-8; charset=iso-8859-1'])(
    'TEP-010: charset=%s is refused',
    async (charset) => {
      const answer = await send(`grant_type=refresh_token&refresh_token=${refreshToken}`, {
        'Content-Type': `${FORM}; charset=${charset}`,
      })
      expect([400, 415]).toContain(answer.status)
      expect(answer.text).not.toContain('access_token')
      await expectUntouched()
    },
  )

  test.each([
    ['refresh_token[]'],
    ['refresh_token[0]'],
    ['refresh_token[0][]'],
    ['refresh_token%5B%5D'],
    ['refresh_token[x]'],
  ])('TEP-016: %s is not refresh_token', async (name) => {
    const { status, body } = await send(`grant_type=refresh_token&${name}=${refreshToken}`)
    expect([status, body.error]).toEqual([400, 'invalid_request'])
    await expectUntouched()
  })

  test.each(['grant_type[]', 'grant_type[0]', 'grant_type[$eq]'])(
    'TEP-016: %s is not grant_type',
    async (name) => {
      const { status, body } = await send(`${name}=client_credentials`)
      expect([status, body.error]).toEqual([400, 'invalid_request'])
    },
  )

  test.each(['foo[]=x', 'foo[0]=x', 'foo[bar]=x', 'foo[bar][baz]=x', 'scope[]=b', 'scope[$ne]=b'])(
    'TEP-016: %s beside a good request is an unknown parameter, and ignored',
    async (extra) => {
      const { status, body } = await send(`grant_type=client_credentials&${extra}`)
      expect(status).toBe(200)
      expect(body.scope).toBe('a')
    },
  )

  test.each(['refresh_token[$ne]=x', 'refresh_token[$gt]=', 'refresh_token[__proto__]=x'])(
    'TEP-017: %s finds no token',
    async (operator) => {
      const { status, body } = await send(`grant_type=refresh_token&${operator}`)
      expect([status, body.error]).toEqual([400, 'invalid_request'])
    },
  )

  test.each(['client_id[$gt]=', 'client_id[$ne]=x', 'client_id[]=public', 'client_id[0]=public'])(
    'TEP-017: %s is no client',
    async (operator) => {
      const answer = await readAnswer(
        await fetch(world.endpoint('token'), {
          method: 'POST',
          body: `grant_type=refresh_token&refresh_token=${refreshToken}&${operator}`,
          headers: { 'Content-Type': FORM },
        }),
      )
      expect([400, 401]).toContain(answer.status)
      expect(['invalid_request', 'invalid_client']).toContain(answer.body.error)
      await expectUntouched()
    },
  )

  test.each([
    ['a text and an operator', 'grant_type=client_credentials&grant_type[$ne]=x'],
    ['a text and a list', 'grant_type=client_credentials&grant_type[]=refresh_token'],
    ['prototype names', 'grant_type=client_credentials&__proto__[x]=y&constructor=z&hasOwnProperty=1'],
  ])('TEP-017: %s never make a fault', async (_what, body) => {
    const answer = await send(body)
    expect([200, 400]).toContain(answer.status)
    expect(world.eventsNamed('fault')).toHaveLength(0)
  })

  test('TEP-013, TEP-014: a repeated parameter is refused', async () => {
    for (const body of [
      'grant_type=client_credentials&grant_type=client_credentials',
      `grant_type=refresh_token&refresh_token=${refreshToken}&refresh_token=${refreshToken}`,
      `grant_type=refresh_token&refresh_token=${refreshToken}&foo=1&foo=2`,
    ]) {
      const answer = await send(body)
      expect([answer.status, answer.body.error]).toEqual([400, 'invalid_request'])
    }
    await expectUntouched()
  })

  test('TEP-023: control characters and broken encodings are refused', async () => {
    for (const value of ['%00', 'x%0d%0aSet-Cookie:+a=b', '%1b%5b31m', '%7f', '%ff', '%c0%af', '%zz', '%']) {
      const answer = await send(`grant_type=refresh_token&refresh_token=${value}`)
      expect(answer.status).toBe(400)
      expect(['invalid_request', 'invalid_grant']).toContain(answer.body.error)
      expect(answer.headers.get('set-cookie')).toBeNull()
    }
  })

  test('TEP-026: empty parameters count as omitted', async () => {
    const { status, body } = await send('grant_type=client_credentials&scope=&resource=&client_secret=')
    expect(status).toBe(200)
    expect(body.scope).toBe('a')
  })

  test('an empty body is a missing grant_type', async () => {
    const { status, body } = await send('')
    expect([status, body.error]).toEqual([400, 'invalid_request'])
  })
})

test('TEP-011: a body that the app read and threw away is a fault of the app at once, not a wait', async () => {
  const world = await startWorld({
    before: (app) =>
      app.use('/oauth/token', (req, _res, next) => {
        req.resume().on('end', () => setImmediate(next))
      }),
  })
  try {
    const answer = await world.token({ grant_type: 'client_credentials' })
    expect([answer.status, answer.body.error]).toEqual([500, 'server_error'])
    expect(world.eventsNamed('fault')).toHaveLength(1)
  } finally {
    await world.close()
  }
})

describe('the size of a form', () => {
  let world: World
  beforeAll(async () => {
    world = await startWorld()
  })
  afterAll(() => world.close())

  test('TEP-019: 100 parameters are read, 101 and 1,001 are refused', async () => {
    const extra = (count: number) =>
      Array.from({ length: count }, (_, index): [string, string] => [`p${index}`, 'x'])
    const send = (count: number) => world.token([['grant_type', 'client_credentials'], ...extra(count - 1)])
    expect((await send(100)).status).toBe(200)
    for (const count of [101, 1001]) {
      const { status, body } = await send(count)
      expect([status, body.error]).toEqual([400, 'invalid_request'])
    }
  })

  test('TEP-019: the costliest bodies under the limit are judged in far under 50 ms', () => {
    const size = 64 * 1024
    const bodies = [
      'a&'.repeat(size / 2),
      '&'.repeat(size),
      `a=${'%41'.repeat(size / 3)}`,
      `a=${'+'.repeat(size)}`,
      `a=${'%'.repeat(size)}`,
      `${'a'.repeat(size)}`,
      'a=,'.repeat(size / 3),
    ]
    for (const body of bodies) {
      // The best of three: on a busy machine one may wait for others.
      const times = [1, 2, 3].map(() => {
        const start = performance.now()
        try {
          expect(parseParameters(body).size).toBeLessThanOrEqual(100)
        } catch (error) {
          expect(error).toMatchObject({ code: 'invalid_request' })
        }
        return performance.now() - start
      })
      expect(Math.min(...times)).toBeLessThan(50)
    }
  })

  test('TEP-020: a long value of commas is one text, never a list', async () => {
    const { status, body } = await world.token({
      grant_type: 'client_credentials',
      scope: ','.repeat(20_000),
    })
    expect([status, body.error]).toEqual([400, 'invalid_scope'])
  })
})
