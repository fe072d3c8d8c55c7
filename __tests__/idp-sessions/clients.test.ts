import { describe, expect, test } from '@jest/globals'
import { type AatOptions, ConfigurationError, createAat } from '../../lib/index.ts'
import { expectRefused, withWorld } from '../refresh-tokens/instances.ts'
import { basic, REDIRECT_URI, type TokenAnswer, type World } from '../support/world.ts'
import { bound, clients, publicTokens, sessionOf, signedIn } from './sessions.ts'

/** Registers a client that says this of sessions, and gets its first tokens: how long its refresh token lives. */
async function registered(world: World, metadata: Record<string, unknown>) {
  const registration = await world.register({
    redirect_uris: [REDIRECT_URI],
    grant_types: ['authorization_code', 'refresh_token'],
    ...metadata,
  })
  expect(registration.status).toBe(201)
  const { client_id: clientId, client_secret: secret } = registration.body
  const { code, verifier } = await world.authorize({ client_id: clientId, scope: 'a' })
  const authorization = basic(clientId, secret)
  const { body } = await world.token(
    { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: REDIRECT_URI },
    authorization,
  )
  const { body: refreshed } = await world.token(
    { grant_type: 'refresh_token', refresh_token: body.refresh_token },
    authorization,
  )
  expect(refreshed.refresh_token_expires_in).toBe(body.refresh_token_expires_in)
  return { told: registration.body.use_idp_session_expiry, lives: body.refresh_token_expires_in }
}

describe('configured clients', () => {
  test('one is bound where the server is not, and the other way round', async () => {
    const choices = (own: boolean, other: boolean) =>
      clients({ refreshTokens: { boundToIdpSession: own } }, { refreshTokens: { boundToIdpSession: other } })
    for (const server of [true, false])
      await withWorld(bound({ boundToIdpSession: server }, choices(true, false)), async (world) => {
        signedIn(world, sessionOf(world, 'one', 400))
        const own = await world.signInAndGetTokens({ scope: 'a' })
        expect([own.body, (await publicTokens(world)).body]).toMatchObject([
          { refresh_token_expires_in: 400 },
          { refresh_token_expires_in: 100 },
        ])
      })
  })

  test('each with its own word on unknown ends', () =>
    withWorld(
      bound({}, clients({ refreshTokens: { whenIdpSessionEndUnknown: 'use-lifetime', lifetime: 70 } })),
      async (world) => {
        expect((await world.signInAndGetTokens({ scope: 'a' })).body.refresh_token_expires_in).toBe(70)
        expect((await publicTokens(world)).body).not.toHaveProperty('refresh_token')
        expect(world.eventsNamed('refresh_token.withheld')).toMatchObject([{ clientId: 'public' }])
      },
    ))

  test('tokens of a client itself know no session', () =>
    withWorld(bound(), async (world) => {
      const { status, body } = await world.token({ grant_type: 'client_credentials', scope: 'a' })
      expect(status).toBe(200)
      expect(body.expires_in).toBe(300)
    }))

  test('a change of the configuration applies at the next refresh', async () => {
    // The same with another instance, over one store: see instances.test.ts.
    await withWorld(bound({ boundToIdpSession: false }), async (world) => {
      signedIn(world, sessionOf(world, 'one', 40))
      const { body } = await world.signInAndGetTokens({ scope: 'a' })
      world.clock.advance(60)
      expect((await world.refresh(body.refresh_token)).body.refresh_token_expires_in).toBe(40)
    })
  })
})

describe('use_idp_session_expiry of a registration', () => {
  test.each([
    [true, undefined, undefined, 400],
    [true, true, true, 400],
    // The server binds, and that is not a client's to choose.
    [true, false, true, 400],
    [false, undefined, undefined, 100],
    [false, true, true, 400],
    [false, false, false, 100],
  ])(
    'a server that says %p, a client that says %p: it is told %p, and lives %d s',
    (server, said, told, lives) =>
      withWorld(bound({ boundToIdpSession: server }), async (world) => {
        signedIn(world, sessionOf(world, 'one', 400))
        const metadata = said === undefined ? {} : { use_idp_session_expiry: said }
        expect(await registered(world, metadata)).toEqual({ told, lives })
      }),
  )

  test('mayOutliveIdpSession: then a client may say false', () =>
    withWorld(
      bound({}, { registration: { policies: { default: { mayOutliveIdpSession: true } } } }),
      async (world) => {
        signedIn(world, sessionOf(world, 'one', 400))
        const lives = async (metadata: Record<string, unknown>) => (await registered(world, metadata)).lives
        expect(await registered(world, { use_idp_session_expiry: false })).toEqual({
          told: false,
          lives: 100,
        })
        expect(await lives({ use_idp_session_expiry: true })).toBe(400)
        expect(await lives({})).toBe(400)
      },
    ))

  const wrong: unknown[] = ['true', 'false', '', 1, 0, null, {}, [], [true], { value: true }, 'yes']
  test.each(wrong.map((value) => ({ value })))('$value is 400 invalid_client_metadata', ({ value }) =>
    withWorld(bound(), async (world) => {
      const answer = await world.register({ redirect_uris: [REDIRECT_URI], use_idp_session_expiry: value })
      expectRefused(answer, 'invalid_client_metadata')
      expect(answer.body.error_description).toContain('use_idp_session_expiry')
      expect(world.eventsNamed('client.registered')).toEqual([])
      expect(world.eventsNamed('registration.refused')).toHaveLength(1)
    }),
  )

  test('a registered client that is bound gets no refresh token where nobody says when the session ends', () =>
    withWorld(bound({ boundToIdpSession: false }), async (world) => {
      const registration: TokenAnswer = await world.register({
        redirect_uris: [REDIRECT_URI],
        grant_types: ['authorization_code', 'refresh_token'],
        use_idp_session_expiry: true,
      })
      const { client_id: clientId, client_secret: secret } = registration.body
      const { code, verifier } = await world.authorize({ client_id: clientId, scope: 'a' })
      const { body } = await world.token(
        { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: REDIRECT_URI },
        basic(clientId, secret),
      )
      expect(body).not.toHaveProperty('refresh_token')
      expect(world.eventsNamed('refresh_token.withheld')).toMatchObject([{ clientId }])
    }))
})

describe('the configuration', () => {
  const create = (options: Record<string, unknown>) => () =>
    createAat({
      issuer: 'https://as.example',
      resources: { 'https://as.example/api': { scopes: ['a'] } },
      every: () => () => undefined,
      ...options,
    } as AatOptions)

  test.each<[string, Record<string, unknown>, RegExp]>([
    ['a misspelt option', { refreshTokens: { boundToIdPSession: true } }, /did you mean.*boundToIdpSession/i],
    [
      'another',
      { refreshTokens: { whenIdpSessionEndUnkown: 'use-lifetime' } },
      /did you mean.*whenIdpSessionEndUnknown/i,
    ],
    ['one of sessions', { idpSessions: { longset: 60 } }, /did you mean.*longest/i],
    ['their name', { idpSession: { longest: 60 } }, /did you mean.*idpSessions/i],
    ['no flag', { refreshTokens: { boundToIdpSession: 'true' } }, /refreshTokens\.boundToIdpSession/],
    [
      'neither of the two',
      { refreshTokens: { whenIdpSessionEndUnknown: 'whatever' } },
      /whenIdpSessionEndUnknown.*no-refresh-token.*use-lifetime/,
    ],
    ['no function', { idpSessions: { checkIdpSession: true } }, /idpSessions\.checkIdpSession/],
    ['too short a time', { idpSessions: { checkTimeout: 9 } }, /idpSessions\.checkTimeout/],
    ['too long a time', { idpSessions: { checkTimeout: 30_001 } }, /idpSessions\.checkTimeout/],
    ['no rule', { idpSessions: { whenUnanswered: 'shrug' } }, /whenUnanswered.*unavailable.*go-on/],
    ['under a minute', { idpSessions: { longest: 59 } }, /idpSessions\.longest/],
    ['over 400 days', { idpSessions: { longest: 400 * 86_400 + 1 } }, /idpSessions\.longest/],
    ['no number', { idpSessions: { longest: Number.NaN } }, /idpSessions\.longest/],
    [
      'of a client',
      {
        clients: [
          {
            clientId: 'c',
            redirectUris: ['https://c.example/cb'],
            refreshTokens: { boundToIdpSession: 1 },
          },
        ],
      },
      /clients\[0\]\.refreshTokens\.boundToIdpSession/,
    ],
  ])('%s is refused at start, in words that help', (_, options, words) => {
    expect(create(options)).toThrow(ConfigurationError)
    expect(create(options)).toThrow(words)
  })

  test('what is right is taken', () => {
    const idpSessions = {
      checkIdpSession: () => true,
      checkTimeout: 10,
      whenUnanswered: 'go-on',
      longest: 60,
    }
    expect(create({ idpSessions, refreshTokens: { boundToIdpSession: true } })).not.toThrow()
    expect(create({ idpSessions: undefined })).not.toThrow()
  })
})
