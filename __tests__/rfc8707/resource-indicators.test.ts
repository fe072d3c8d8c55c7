import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { expectRefused, withWorld } from '../refresh-tokens/instances.ts'
import {
  Browser,
  CONFIDENTIAL,
  claimsOf,
  pkce,
  REDIRECT_URI,
  startWorld,
  type TokenAnswer,
  type World,
} from '../support/world.ts'

let world: World
beforeEach(async () => {
  world = await startWorld()
})
afterEach(() => world.close())

/** An authorization for several resources: the whole way, with each `resource` in the request. */
async function authorizeFor(resources: string[], scope: string, at: World = world) {
  const { verifier, challenge } = pkce()
  const browser = new Browser(at.base)
  await browser.get(`${at.base}/sign-in?as=alice&return_to=/`)
  const url = new URL(at.authorizeUrl({ scope, code_challenge: challenge }))
  for (const resource of resources) url.searchParams.append('resource', resource)
  let response = await browser.follow(await browser.get(url.href), (next) => next.startsWith(at.base))
  if (response.status === 200) response = await browser.submitConsent(response, { decision: 'allow' })
  const location = new URL(response.headers.get('location') ?? `error:${response.status}`)
  return { code: location.searchParams.get('code') ?? '', verifier, parameters: location.searchParams }
}

const redeem = (
  { code, verifier }: { code: string; verifier: string },
  more: [string, string][] = [],
  at: World = world,
) =>
  at.token([
    ['grant_type', 'authorization_code'],
    ['code', code],
    ['code_verifier', verifier],
    ['redirect_uri', REDIRECT_URI],
    ...more,
  ])

/** An authorization request and what it is answered with; nothing of the browser's matters. */
async function ask(resources: string[]) {
  const url = new URL(world.authorizeUrl({ scope: 'a' }))
  for (const resource of resources) url.searchParams.append('resource', resource)
  return fetch(url, { redirect: 'manual' })
}

function expectRedirectedError(response: Response, error: string): void {
  const location = new URL(response.headers.get('location') ?? 'error:none')
  expect(location.href.startsWith(`${REDIRECT_URI}?`)).toBe(true)
  expect(Object.fromEntries(location.searchParams)).toEqual({
    error,
    error_description: expect.any(String),
    state: 'the-state',
    iss: world.issuer,
  })
}

const audienceOf = ({ body }: TokenAnswer) => claimsOf(body.access_token).aud

const unusable = (base: string): [string, string][] => [
  ['unknown', 'https://x'],
  ['unknown, of this server', `${base}/unknown`],
  ['with a fragment', `${base}/api#fragment`],
  ['with an empty fragment', `${base}/api#`],
  ['relative', '/api'],
  ['without a scheme', `${base.replace('http://', '')}/api`],
  ['no URI', 'not a uri'],
  ['only a scheme', 'http:'],
  ['javascript:', 'javascript:alert(1)'],
  ['file:', 'file:///etc/passwd'],
  ['data:', 'data:text/html,x'],
  ['in another case', `${base}/API`],
  ['with a trailing slash', `${base}/api/`],
  ['with dots', `${base}/x/../api`],
  ['with an escape', `${base}/%61pi`],
  ['with a query', `${base}/api?x=1`],
  ['with a user', `${base.replace('//', '//user:pass@')}/api`],
  ['a prefix', `${base}/ap`],
  ['longer', `${base}/api/more`],
  ['two in one', `${base}/api ${base}/other`],
  ['a name of the prototype', '__proto__'],
  ['very long', `${base}/${'x'.repeat(5000)}`],
]

describe('a resource that is none of ours', () => {
  test('RES-001, RES-002, RES-007: at the token endpoint: invalid_target', async () => {
    for (const [what, resource] of unusable(world.base)) {
      const answer = await world.token({ grant_type: 'client_credentials', scope: 'a', resource })
      expect([what, answer.status, answer.body.error]).toEqual([what, 400, 'invalid_target'])
      expect(answer.text).not.toContain('passwd')
    }
  })

  test('RES-001, RES-002, RES-007: at the authorization endpoint: invalid_target, by redirect', async () => {
    for (const [, resource] of unusable(world.base)) {
      expectRedirectedError(await ask([resource]), 'invalid_target')
      expectRedirectedError(await ask([world.resource, resource]), 'invalid_target')
    }
  })

  test('RES-001, RES-002, RES-007: with a code and a refresh token: invalid_target, and neither is consumed', async () => {
    const authorized = await world.authorize({ scope: 'a b' })
    for (const [what, resource] of unusable(world.base)) {
      const answer = await redeem(authorized, [['resource', resource]])
      expect([what, answer.status, answer.body.error]).toEqual([what, 400, 'invalid_target'])
    }
    const { status, body } = await redeem(authorized)
    expect(status).toBe(200)
    for (const [what, resource] of unusable(world.base)) {
      const answer = await world.refresh(body.refresh_token, { resource })
      expect([what, answer.status, answer.body.error]).toEqual([what, 400, 'invalid_target'])
    }
    world.clock.advance(60)
    expect((await world.refresh(body.refresh_token)).status).toBe(200)
  })

  // RFC 6749 §3.1 and §3.2 count a parameter without a value as omitted, so an empty one is none and not a wrong one.
  test('RES-002: an empty resource is no resource: the default one', async () => {
    const answer = await world.token({ grant_type: 'client_credentials', scope: 'a', resource: '' })
    expect([answer.status, audienceOf(answer)]).toEqual([200, world.resource])
    const { status, body } = await world.signInAndGetTokens({ scope: 'a', resource: '' })
    expect([status, claimsOf(body.access_token).aud]).toEqual([200, world.resource])
  })

  test('RES-001: without a default resource a request must name one', () =>
    withWorld({ defaultResource: undefined as never }, async (strict) => {
      const answer = await strict.token({ grant_type: 'client_credentials', scope: 'a' })
      expectRefused(answer, 'invalid_target')
      const named = await strict.token({
        grant_type: 'client_credentials',
        scope: 'a',
        resource: strict.otherResource,
      })
      expect(audienceOf(named)).toBe(strict.otherResource)
      const url = strict.authorizeUrl({ scope: 'a' })
      const { headers } = await fetch(url, { redirect: 'manual' })
      expect(new URL(headers.get('location') ?? 'error:').searchParams.get('error')).toBe('invalid_target')
    }))
})

describe('many resources', () => {
  test('RES-005: 1,000 of them are refused quickly, and 9 different ones too', async () => {
    const many = (count: number): [string, string][] =>
      Array.from({ length: count }, (_, index) => ['resource', `${world.base}/api-${index}`])
    const started = process.cpuUsage()
    const answers = [
      await world.token([['grant_type', 'client_credentials'], ['scope', 'a'], ...many(1000)]),
      await world.token([['grant_type', 'client_credentials'], ['scope', 'a'], ...many(90)]),
      await world.token([['grant_type', 'client_credentials'], ['scope', 'a'], ...many(9)]),
      await world.token([
        ['grant_type', 'client_credentials'],
        ['scope', 'a'],
        ...many(1000).map(([name]): [string, string] => [name, world.resource]),
      ]),
    ]
    expect(answers.map(({ status, body }) => [status, body.error])).toEqual([
      [400, 'invalid_request'],
      [400, 'invalid_target'],
      [400, 'invalid_target'],
      [400, 'invalid_request'],
    ])
    const { user, system } = process.cpuUsage(started)
    expect((user + system) / 1e6).toBeLessThan(2)
  })

  test('RES-005: at the authorization endpoint as well', async () => {
    const response = await ask(Array.from({ length: 200 }, (_, index) => `${world.base}/api-${index}`))
    expect(response.status).toBe(400)
    expect(response.headers.get('location')).toBeNull()
    expectRedirectedError(
      await ask(Array.from({ length: 9 }, (_, index) => `${world.base}/api-${index}`)),
      'invalid_target',
    )
  })

  test('RES-005: with a code or refresh token they are in no grant, and consume nothing', async () => {
    const authorized = await world.authorize({ scope: 'a' })
    const many = Array.from({ length: 50 }, (): [string, string] => ['resource', world.resource])
    expectRefused(await redeem(authorized, many), 'invalid_target')
    const { body } = await redeem(authorized)
    expectRefused(
      await world.token([['grant_type', 'refresh_token'], ['refresh_token', body.refresh_token], ...many]),
      'invalid_target',
    )
    expect((await world.refresh(body.refresh_token)).status).toBe(200)
  })
})

describe('within a grant', () => {
  test('RES-004: granted one resource, asked for the other: invalid_target, nothing is consumed', async () => {
    const authorized = await authorizeFor([world.resource], 'a b')
    expectRefused(await redeem(authorized, [['resource', world.otherResource]]), 'invalid_target')
    const first = await redeem(authorized, [['resource', world.resource]])
    expect([first.status, audienceOf(first)]).toEqual([200, world.resource])
    expectRefused(
      await world.refresh(first.body.refresh_token, { resource: world.otherResource }),
      'invalid_target',
    )
    world.clock.advance(60)
    const second = await world.refresh(first.body.refresh_token, { resource: world.resource })
    expect([second.status, audienceOf(second)]).toEqual([200, world.resource])
    expect(world.eventsNamed('refresh_token.reused')).toEqual([])
  })

  test('RES-008: several granted and none named: the first of them', async () => {
    const authorized = await authorizeFor([world.otherResource, world.resource], 'a x b')
    const first = await redeem(authorized)
    expect([audienceOf(first), first.body.scope]).toEqual([world.otherResource, 'a x'])
    const second = await world.refresh(first.body.refresh_token)
    expect([audienceOf(second), second.body.scope]).toEqual([world.otherResource, 'a x'])
  })

  test('RTK-037: one of several, then the other, then one that was not granted', async () => {
    const authorized = await authorizeFor([world.resource, world.otherResource], 'a b x')
    const first = await redeem(authorized, [['resource', world.otherResource]])
    expect([audienceOf(first), first.body.scope]).toEqual([world.otherResource, 'a x'])
    expect((await world.call('/other/x', first.body.access_token)).status).toBe(200)
    expect((await world.call('/api/a', first.body.access_token)).status).toBe(401)
    const second = await world.refresh(first.body.refresh_token, { resource: world.resource })
    expect([audienceOf(second), second.body.scope]).toEqual([world.resource, 'a b'])
    expect((await world.call('/api/ab', second.body.access_token)).status).toBe(200)
    expect((await world.call('/other/x', second.body.access_token)).status).toBe(401)
    for (const resource of ['https://evil.example/', `${world.resource}/more`])
      expectRefused(await world.refresh(second.body.refresh_token, { resource }), 'invalid_target')
    world.clock.advance(60)
    expect((await world.refresh(second.body.refresh_token)).status).toBe(200)
  })

  test('RTK-037: a resource that has none of the scope is not granted: refused, and the code and token stay', async () => {
    const authorized = await authorizeFor([world.resource, world.otherResource], 'b')
    expectRefused(await redeem(authorized, [['resource', world.otherResource]]), 'invalid_target')
    const first = await redeem(authorized)
    expect([first.status, audienceOf(first)]).toEqual([200, world.resource])
    expectRefused(
      await world.refresh(first.body.refresh_token, { resource: world.otherResource }),
      'invalid_target',
    )
    world.clock.advance(60)
    expect((await world.refresh(first.body.refresh_token)).status).toBe(200)
    expect(world.eventsNamed('code.reused')).toEqual([])
    expect(world.eventsNamed('refresh_token.reused')).toEqual([])
  })

  test('RTK-037: the scope of one resource is never in a token for the other', async () => {
    const authorized = await authorizeFor([world.resource, world.otherResource], 'a b x')
    const { body } = await redeem(authorized)
    const asked = await world.refresh(body.refresh_token, { resource: world.otherResource, scope: 'b' })
    expectRefused(asked, 'invalid_scope')
    const both = await world.refresh(body.refresh_token, { resource: world.otherResource, scope: 'b x' })
    expect(both.body.scope).toBe('x')
  })

  test('a token is for one resource: two at once are refused for each grant type', async () => {
    const both: [string, string][] = [
      ['resource', world.resource],
      ['resource', world.otherResource],
    ]
    const authorized = await authorizeFor([world.resource, world.otherResource], 'a')
    expectRefused(await redeem(authorized, both), 'invalid_target')
    const { body } = await redeem(authorized)
    const refresh: [string, string][] = [
      ['grant_type', 'refresh_token'],
      ['refresh_token', body.refresh_token],
    ]
    expectRefused(await world.token([...refresh, ...both]), 'invalid_target')
    expect((await world.token(refresh)).status).toBe(200)
    expectRefused(await world.token([['grant_type', 'client_credentials'], ...both]), 'invalid_target')
  })

  test('a resource that is an origin: with and without its slash it is the same', () =>
    withWorld(
      (base) => ({
        resources: {
          [base]: { scopes: ['root'] },
          [`${base}/api`]: { scopes: ['a', 'b'] },
          [`${base}/other`]: { scopes: ['x'] },
        },
      }),
      async (origin) => {
        const authorized = await authorizeFor([`${origin.base}/`], 'root', origin)
        const first = await redeem(authorized, [['resource', origin.base]], origin)
        expect([first.status, audienceOf(first)]).toEqual([200, origin.base])
        const second = await origin.refresh(first.body.refresh_token, { resource: `${origin.base}/` })
        expect([second.status, audienceOf(second)]).toEqual([200, origin.base])
      },
    ))

  test('each resource has its own audience and lifetime', () =>
    withWorld(
      (base) => ({
        resources: {
          [`${base}/api`]: { scopes: ['a', 'b'], accessTokenLifetime: 60 },
          [`${base}/other`]: { scopes: ['x'], accessTokenLifetime: 900, audience: 'urn:example:other' },
        },
        clients: [
          {
            clientId: CONFIDENTIAL.id,
            clientSecret: CONFIDENTIAL.secret,
            grantTypes: ['client_credentials'],
          },
        ],
      }),
      async (two) => {
        const ask = (resource: string, scope: string) =>
          two.token({ grant_type: 'client_credentials', resource, scope })
        const [short, long] = [await ask(two.resource, 'a'), await ask(two.otherResource, 'x')]
        expect([audienceOf(short), short.body.expires_in]).toEqual([two.resource, 60])
        expect([audienceOf(long), long.body.expires_in]).toEqual(['urn:example:other', 900])
        expectRefused(await ask('urn:example:other', 'x'), 'invalid_target')
        expectRefused(await ask(two.resource, 'x'), 'invalid_scope')
      },
    ))
})
