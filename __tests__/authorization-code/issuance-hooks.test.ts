import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { createAat, type TokenContext, tokenEndpoint } from '../../lib/index.ts'
import { claimsOf, PUBLIC, REDIRECT_URI, startWorld, type World } from '../support/world.ts'

const SECRET_WORDS = 'postgres://admin:hunter2@db'

let world: World
let claims: (context: TokenContext) => unknown
let isActive: (subject: string, context: { clientId: string }) => unknown
let asked: TokenContext[]
beforeAll(async () => {
  world = await startWorld({
    aat: {
      claims: async (context) => {
        asked.push(context)
        return (await claims(context)) as Record<string, unknown>
      },
      isSubjectActive: async (subject, context) => (await isActive(subject, context)) as boolean,
    },
  })
})
afterAll(() => world.close())
beforeEach(() => {
  claims = () => ({ tenant: 'acme' })
  isActive = () => true
  asked = []
  world.events.length = 0
})

async function codeRequest() {
  const { code, verifier } = await world.authorize({ scope: 'a b' })
  world.events.length = 0
  return { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: REDIRECT_URI }
}

/** Both requests that a user's grant is used with, each checked to be still good after the refusal. */
async function expectNothingConsumed(refuse: () => void, expected: [number, string]) {
  const code = await codeRequest()
  refuse()
  const refused = await world.token(code)
  expect([refused.status, refused.body.error]).toEqual(expected)
  expect(world.eventsNamed('token.issued')).toHaveLength(0)
  claims = () => ({ tenant: 'acme' })
  isActive = () => true
  const { status, body } = await world.token(code)
  expect(status).toBe(200)

  refuse()
  const notRefreshed = await world.refresh(body.refresh_token)
  expect([notRefreshed.status, notRefreshed.body.error]).toEqual(expected)
  claims = () => ({ tenant: 'acme' })
  isActive = () => true
  // Past the grace window: a token that had been rotated would now be taken for stolen.
  world.clock.advance(120)
  expect((await world.refresh(body.refresh_token)).status).toBe(200)
  expect(world.eventsNamed('token.refreshed')).toHaveLength(1)
  return [refused, notRefreshed]
}

describe('claims', () => {
  test('is asked for each grant type with what is about to be issued', async () => {
    const { body } = await world.token(await codeRequest())
    await world.refresh(body.refresh_token, { scope: 'b' })
    await world.token({ grant_type: 'client_credentials', scope: 'c' })
    const { clientId } = asked[0] as TokenContext
    expect(asked).toEqual([
      {
        grantType: 'authorization_code',
        clientId,
        subject: 'alice',
        scope: ['a', 'b'],
        resource: world.resource,
      },
      { grantType: 'refresh_token', clientId, subject: 'alice', scope: ['b'], resource: world.resource },
      {
        grantType: 'client_credentials',
        clientId,
        subject: `client:${clientId}`,
        scope: ['c'],
        resource: world.resource,
      },
    ])
    expect(claimsOf(body.access_token)).toMatchObject({ tenant: 'acme', sub: 'alice', client_id: clientId })
  })

  test.each([
    'iss',
    'sub',
    'aud',
    'exp',
    'nbf',
    'iat',
    'jti',
    'client_id',
    'scope',
    'auth_time',
    'acr',
    'amr',
    'grant_id',
    'cnf',
    'act',
  ])('the reserved claim %s is a fault of ours, and consumes nothing', async (name) => {
    await expectNothingConsumed(() => {
      claims = () => ({ [name]: 'mallory' })
    }, [500, 'server_error'])
  })

  test.each([
    ['null', null],
    ['undefined', undefined],
    ['a text', 'x'],
    ['a list', [1]],
    ['what JSON cannot say', { n: 1n }],
    ['over 1,000 characters', { x: 'x'.repeat(1000) }],
  ])('an answer that is %s is a fault, and consumes nothing', async (_what, answer) => {
    await expectNothingConsumed(() => {
      claims = () => answer
    }, [500, 'server_error'])
  })

  test.each([
    ['an Error', () => new Error(SECRET_WORDS)],
    // As HTTP clients throw them: a status in it makes it no error of the client's here.
    ['an error with status 404', () => Object.assign(new Error(SECRET_WORDS), { status: 404 })],
    [
      'an HTTP error that may be shown elsewhere',
      () => Object.assign(new Error(SECRET_WORDS), { status: 401, statusCode: 401, expose: true }),
    ],
    ['a text', () => SECRET_WORDS],
    ['nothing', () => undefined],
    ['a word that Express knows', () => 'router'],
  ])(
    'throwing %s is 500 with a reference, and the words go to the fault event alone',
    async (_what, make) => {
      const thrown = make()
      const answers = await expectNothingConsumed(() => {
        claims = () => {
          throw thrown
        }
      }, [500, 'server_error'])
      const faults = world.eventsNamed('fault') as unknown as {
        where: string
        reference: string
        error: unknown
      }[]
      expect(faults).toHaveLength(2)
      answers.forEach((answer, index) => {
        expect(answer.text).not.toContain('hunter2')
        expect(Object.keys(answer.body).sort()).toEqual(['error', 'error_description'])
        expect(faults[index]?.error).toBe(thrown)
        expect(faults[index]?.where).toBe('token')
        expect(answer.body.error_description).toContain(faults[index]?.reference)
        expect(answer.headers.get('cache-control')).toBe('no-store')
      })
    },
  )

  test('a fault that nobody listens to is a warning without its words', async () => {
    let closeLonely = async () => {}
    const warnings: string[] = []
    const { emitWarning } = process
    process.emitWarning = (warning) => void warnings.push(String(warning))
    const quiet = await startWorld({
      after: (app) => {
        const aat = createAat({
          issuer: 'http://127.0.0.1:9',
          secrets: ['test-secret-0123456789-0123456789-0123456789'],
          resources: { 'http://127.0.0.1:9/api': { scopes: ['a'], defaultScopes: ['a'] } },
          endpoints: { token: '/lonely/oauth/token' },
          clients: [{ clientId: 'lonely', clientSecret: 'lonely-secret-0123456789' }],
          claims: () => {
            throw new Error(SECRET_WORDS)
          },
        })
        app.use('/lonely/oauth/token', tokenEndpoint(aat))
        closeLonely = () => aat.close()
      },
    })
    try {
      const answer = await quiet.post(
        `${quiet.base}/lonely/oauth/token`,
        { grant_type: 'client_credentials' },
        { Authorization: `Basic ${Buffer.from('lonely:lonely-secret-0123456789').toString('base64')}` },
      )
      expect([answer.status, answer.body.error]).toEqual([500, 'server_error'])
      const text = warnings.join('\n')
      const [, reference = 'none'] = /reference ([\w-]+)/.exec(answer.body.error_description) ?? []
      expect(text).toContain(reference)
      expect(text).not.toContain('hunter2')
    } finally {
      process.emitWarning = emitWarning
      await closeLonely()
      await quiet.close()
    }
  })

  test('is not asked for a code that is not theirs, is spent, or is forged', async () => {
    const code = await codeRequest()
    await world.token({ ...code, client_id: PUBLIC.id })
    expect(asked).toEqual([])
    expect((await world.token(code)).status).toBe(200)
    asked = []
    expect((await world.token(code)).status).toBe(400)
    expect((await world.token({ ...code, code: `${code.code.slice(0, -4)}AAAA` })).status).toBe(400)
    expect(asked).toEqual([])
  })
})

describe('isSubjectActive', () => {
  test('no is invalid_grant, and consumes nothing', async () => {
    await expectNothingConsumed(() => {
      isActive = () => false
    }, [400, 'invalid_grant'])
    expect(world.eventsNamed('fault')).toHaveLength(0)
  })

  test.each([[undefined], [null], [1], ['true'], [{}]])('%p is no yes', async (answer) => {
    await expectNothingConsumed(() => {
      isActive = () => answer
    }, [400, 'invalid_grant'])
  })

  test('a throw is a fault, and consumes nothing', async () => {
    const [refused] = await expectNothingConsumed(() => {
      isActive = () => {
        throw Object.assign(new Error(SECRET_WORDS), { status: 403 })
      }
    }, [500, 'server_error'])
    expect(refused?.text).not.toContain('hunter2')
    expect(world.eventsNamed('fault')).toHaveLength(2)
  })

  test('is told who, and is asked before claims', async () => {
    const seen: unknown[] = []
    isActive = (...parameters) => {
      seen.push(parameters)
      return false
    }
    const code = await codeRequest()
    await world.token(code)
    expect(seen).toEqual([['alice', { clientId: 'confidential' }]])
    expect(asked).toEqual([])
  })

  test("is not asked about a client's own token", async () => {
    isActive = () => false
    expect((await world.token({ grant_type: 'client_credentials' })).status).toBe(200)
  })
})
