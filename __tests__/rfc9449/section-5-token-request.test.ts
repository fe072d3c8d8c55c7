import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { StoreUnavailable } from '../../lib/index.ts'
import { type DpopKey, dpopKey } from '../support/dpop.ts'
import { recordingStores, verbsOfRequests } from '../support/recording-stores.ts'
import { makeSharedStores, makeStores } from '../support/stores.ts'
import {
  basic,
  CONFIDENTIAL,
  claimsOf,
  type ManualClock,
  manualClock,
  PUBLIC,
  RESOURCE_SERVER,
  startWorld,
  type World,
  type WorldOptions,
} from '../support/world.ts'

const worlds: World[] = []
let clock: ManualClock
let world: World
let key: DpopKey
beforeEach(async () => {
  clock = manualClock()
  key = await dpopKey(clock)
  world = await start()
})
afterEach(async () => {
  for (const one of worlds.splice(0)) await one.close()
})

async function start(options: WorldOptions = {}): Promise<World> {
  const one = await startWorld({ clock, ...options })
  worlds.push(one)
  return one
}

const BASIC = basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)
const proofFor = (one: World, by = key, claims = {}) => by.proof('POST', `${one.issuer}/oauth/token`, claims)
const clientCredentials = (proof: string, one = world) =>
  one.token({ grant_type: 'client_credentials' }, { ...BASIC, DPoP: proof })
const introspect = async (token: string) =>
  (
    await world.post(
      world.endpoint('introspect'),
      { token },
      basic(RESOURCE_SERVER.id, RESOURCE_SERVER.secret),
    )
  ).body

/** The whole way of the public client, with proofs by `by` at its end. */
async function signIn(by: DpopKey | null = key, parameters: Record<string, string> = {}, one = world) {
  const { code, verifier } = await one.authorize({ client_id: PUBLIC.id, ...parameters })
  return one.token(
    {
      grant_type: 'authorization_code',
      client_id: PUBLIC.id,
      code,
      code_verifier: verifier,
      redirect_uri: 'https://client.example/cb',
    },
    by === null ? {} : { DPoP: proofFor(one, by) },
  )
}
const refresh = (token: string, proof: string | undefined, more: Record<string, string> = {}) =>
  world.token(
    { grant_type: 'refresh_token', client_id: PUBLIC.id, refresh_token: token, ...more },
    proof === undefined ? {} : { DPoP: proof },
  )

test('DPO-001: a good proof binds the access token: token_type DPoP, cnf.jkt in the JWT and in introspection', async () => {
  const { status, body } = await clientCredentials(proofFor(world))
  expect({ status, type: body.token_type }).toEqual({ status: 200, type: 'DPoP' })
  expect(claimsOf(body.access_token).cnf).toEqual({ jkt: key.jkt })
  expect(await introspect(body.access_token)).toMatchObject({
    active: true,
    token_type: 'DPoP',
    cnf: { jkt: key.jkt },
  })
  const user = await signIn()
  expect(user.body.token_type).toBe('DPoP')
  expect(claimsOf(user.body.access_token).cnf).toEqual({ jkt: key.jkt })
})

test('TOK-020: token_type is Bearer without a proof and DPoP with one, for every grant', async () => {
  const plain = await world.token({ grant_type: 'client_credentials' }, BASIC)
  expect(plain.body.token_type).toBe('Bearer')
  expect(claimsOf(plain.body.access_token)).not.toHaveProperty('cnf')
  const user = await signIn(null)
  expect(user.body.token_type).toBe('Bearer')
  const refreshed = await refresh(user.body.refresh_token, proofFor(world))
  expect(refreshed.body.token_type).toBe('DPoP')
})

test('DPO-002: a proof works once: again, at another instance, and fifty at once', async () => {
  const stores = await makeSharedStores(clock)
  const one = await start({ stores: stores() })
  const two = await start({ stores: stores(), issuer: one.issuer })
  const proof = proofFor(one)
  expect((await clientCredentials(proof, one)).status).toBe(200)
  for (const instance of [one, two]) {
    const again = await clientCredentials(proof, instance)
    expect({ status: again.status, error: again.body.error }).toEqual({
      status: 400,
      error: 'invalid_dpop_proof',
    })
  }
  const another = proofFor(one)
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, index) => clientCredentials(another, index % 2 ? one : two)),
  )
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
  expect(answers.filter(({ body }) => body.error === 'invalid_dpop_proof')).toHaveLength(49)
  expect(two.eventsNamed('dpop_proof.refused')[0]).toMatchObject({
    at: 'token',
    clientId: CONFIDENTIAL.id,
    reason: 'used before',
  })
})

test('DPO-002: a proof is remembered for as long as it is good', async () => {
  const proof = proofFor(world)
  expect((await clientCredentials(proof)).status).toBe(200)
  for (let second = 0; second < 120; second += 5) {
    expect((await clientCredentials(proof)).body.error).toBe('invalid_dpop_proof')
    clock.advance(5)
  }
})

test('DPO-014: the refresh token of a public client works with its key alone; another key leaves the family alive', async () => {
  const { body } = await signIn()
  const other = await dpopKey(clock)
  for (const [proof, error] of [
    [proofFor(world, other), 'invalid_grant'],
    [undefined, 'invalid_grant'],
    ['nonsense', 'invalid_dpop_proof'],
  ] as const) {
    const refused = await refresh(body.refresh_token, proof)
    expect({ status: refused.status, error: refused.body.error }).toEqual({ status: 400, error })
  }
  const answer = await refresh(body.refresh_token, proofFor(world))
  expect(answer.body.token_type).toBe('DPoP')
  expect(claimsOf(answer.body.access_token).cnf).toEqual({ jkt: key.jkt })
})

test('a proof is one store call beside the grant itself', async () => {
  const { stores, calls } = recordingStores(await makeStores(clock))
  world = await start({ stores })
  const { body } = await signIn()
  calls.length = 0
  const next = await refresh(body.refresh_token, proofFor(world))
  expect(verbsOfRequests(calls)).toEqual(['replays.claim', 'grants.refresh'])
  calls.length = 0
  expect((await refresh(next.body.refresh_token, undefined)).status).toBe(400)
  expect((await clientCredentials('nonsense')).status).toBe(400)
  expect(verbsOfRequests(calls)).toEqual(['grants.refresh'])
  // A token that is none of ours costs neither a signature nor a call.
  calls.length = 0
  expect((await refresh(`${next.body.refresh_token}x`, proofFor(world))).body.error).toBe('invalid_grant')
  expect(verbsOfRequests(calls)).toEqual([])
})

test('a public client that begins to prove a key is bound to it from then on', async () => {
  const { body } = await signIn(null)
  const bound = await refresh(body.refresh_token, proofFor(world))
  expect(bound.status).toBe(200)
  expect((await refresh(bound.body.refresh_token, undefined)).body.error).toBe('invalid_grant')
  expect((await refresh(bound.body.refresh_token, proofFor(world))).status).toBe(200)
})

test('the refresh token of a client that authenticates is bound to that: any key, or none', async () => {
  const { code, verifier } = await world.authorize({})
  const { body } = await world.token(
    {
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: 'https://client.example/cb',
    },
    { ...BASIC, DPoP: proofFor(world) },
  )
  expect(body.token_type).toBe('DPoP')
  const other = await dpopKey(clock)
  const next = await world.token(
    { grant_type: 'refresh_token', refresh_token: body.refresh_token },
    { ...BASIC, DPoP: proofFor(world, other) },
  )
  expect(claimsOf(next.body.access_token).cnf).toEqual({ jkt: other.jkt })
  expect((await world.refresh(next.body.refresh_token)).body.token_type).toBe('Bearer')
})

test('RTK-025: a spent token ends its family, whatever is wrong with the proof beside it', async () => {
  const bad = [() => 'nonsense', () => proofFor(world, key, { iat: clock() - 1000 }), () => undefined]
  for (const proof of bad) {
    const { body } = await signIn()
    const next = await refresh(body.refresh_token, proofFor(world))
    clock.advance(11)
    const reuse = await refresh(body.refresh_token, proof())
    expect({ status: reuse.status, error: reuse.body.error }).toEqual({ status: 400, error: 'invalid_grant' })
    expect((await refresh(next.body.refresh_token, proofFor(world))).body.error).toBe('invalid_grant')
  }
  expect(world.eventsNamed('refresh_token.reused')).toHaveLength(bad.length)
})

test('RTK-025: a replayed proof beside a spent token ends the family, too', async () => {
  const { body } = await signIn()
  const proof = proofFor(world)
  const next = await refresh(body.refresh_token, proof)
  clock.advance(11)
  expect((await refresh(body.refresh_token, proof)).body.error).toBe('invalid_grant')
  expect((await refresh(next.body.refresh_token, proofFor(world))).body.error).toBe('invalid_grant')
})

test('RTK-038: a retry in the grace window: a fresh proof by the same key gets the same successor, another key nothing', async () => {
  const { body } = await signIn()
  const first = await refresh(body.refresh_token, proofFor(world))
  clock.advance(5)
  const other = await refresh(body.refresh_token, proofFor(world, await dpopKey(clock)))
  expect({ status: other.status, error: other.body.error }).toEqual({ status: 400, error: 'invalid_grant' })
  const retry = await refresh(body.refresh_token, proofFor(world))
  expect(retry.body.refresh_token).toBe(first.body.refresh_token)
  expect((await refresh(first.body.refresh_token, proofFor(world))).status).toBe(200)
})

test('DPO-016: a code of dpop_jkt is redeemed with that key; another key is invalid_grant and burns nothing', async () => {
  const { code, verifier } = await world.authorize({ client_id: PUBLIC.id, dpop_jkt: key.jkt })
  const redeem = (proof?: string) =>
    world.token(
      {
        grant_type: 'authorization_code',
        client_id: PUBLIC.id,
        code,
        code_verifier: verifier,
        redirect_uri: 'https://client.example/cb',
      },
      proof === undefined ? {} : { DPoP: proof },
    )
  for (const proof of [proofFor(world, await dpopKey(clock)), undefined]) {
    const refused = await redeem(proof)
    expect({ status: refused.status, error: refused.body.error }).toEqual({
      status: 400,
      error: 'invalid_grant',
    })
  }
  expect((await redeem('nonsense')).body.error).toBe('invalid_dpop_proof')
  expect((await redeem(proofFor(world))).body.token_type).toBe('DPoP')
})

test('DPO-016: dpop_jkt survives sign-in and consent; what is no thumbprint is refused at once', async () => {
  for (const value of ['x', 'x'.repeat(43), `${key.jkt}=`, `${key.jkt}A`]) {
    const { parameters } = await world.authorize({ dpop_jkt: value, prompt: 'none' })
    expect(parameters).toMatchObject({ error: 'invalid_request' })
  }
  expect((await signIn(key, { dpop_jkt: key.jkt })).status).toBe(200)
})

test('DPO-017: where replays cannot be told nothing is issued and nothing is lost: 503', async () => {
  const stores = await makeStores(clock)
  let isAway = false
  const claim: typeof stores.replays.claim = async (...claimed) => {
    if (isAway) throw new StoreUnavailable('away')
    return stores.replays.claim(...claimed)
  }
  world = await start({ stores: { ...stores, replays: { claim } } })
  const { body } = await signIn()
  const { code, verifier } = await world.authorize({ client_id: PUBLIC.id })
  const redeem = () =>
    world.token(
      {
        grant_type: 'authorization_code',
        client_id: PUBLIC.id,
        code,
        code_verifier: verifier,
        redirect_uri: 'https://client.example/cb',
      },
      { DPoP: proofFor(world) },
    )
  isAway = true
  for (const answer of [
    await clientCredentials(proofFor(world)),
    await refresh(body.refresh_token, proofFor(world)),
    await redeem(),
  ]) {
    expect({ status: answer.status, error: answer.body.error }).toEqual({
      status: 503,
      error: 'temporarily_unavailable',
    })
    expect(answer.headers.get('retry-after')).toBeTruthy()
  }
  isAway = false
  expect((await redeem()).status).toBe(200)
  const refreshed = await refresh(body.refresh_token, proofFor(world))
  expect(refreshed.status).toBe(200)
  expect(world.eventsNamed('token.retried')).toHaveLength(0)
})

test('dpop_bound_access_tokens: no token without a proof; of the configuration, of a registration, of the server', async () => {
  const clients = [
    {
      clientId: 'bound',
      clientSecret: 'a-secret-of-a-bound-client',
      grantTypes: ['client_credentials' as const],
      dpopBoundAccessTokens: true,
    },
  ]
  const bound = await start({ aat: { clients } })
  const headers = basic('bound', 'a-secret-of-a-bound-client')
  const refused = await bound.token({ grant_type: 'client_credentials' }, headers)
  expect(refused.body.error).toBe('invalid_dpop_proof')
  const good = await bound.token({ grant_type: 'client_credentials' }, { ...headers, DPoP: proofFor(bound) })
  expect(good.body.token_type).toBe('DPoP')

  const registered = await world.register({
    redirect_uris: ['https://client.example/cb'],
    grant_types: ['authorization_code', 'refresh_token'],
    token_endpoint_auth_method: 'none',
    dpop_bound_access_tokens: true,
  })
  expect(registered.body.dpop_bound_access_tokens).toBe(true)
  const client_id = registered.body.client_id
  expect((await world.signInAndGetTokens({ client_id }, { client_id })).body.error).toBe('invalid_dpop_proof')
  for (const value of ['true', 1, null])
    expect(
      (
        await world.register({
          redirect_uris: ['https://client.example/cb'],
          dpop_bound_access_tokens: value,
        })
      ).body.error,
    ).toBe('invalid_client_metadata')

  const strict = await start({ aat: { dpop: { required: true } } })
  expect((await strict.token({ grant_type: 'client_credentials' }, BASIC)).body.error).toBe(
    'invalid_dpop_proof',
  )
  expect((await clientCredentials(proofFor(strict), strict)).status).toBe(200)
})

test('a public client whose tokens are bound may keep its refresh token, which is good with its key alone', async () => {
  const policies = { default: { refreshTokens: { issuance: ['rotate' as const, 'keep' as const] } } }
  const one = await start({ aat: { registration: { policies } } })
  const metadata = {
    redirect_uris: ['https://client.example/cb'],
    grant_types: ['authorization_code', 'refresh_token'],
    token_endpoint_auth_method: 'none',
    refresh_token_issuance: 'keep',
  }
  expect((await one.register(metadata)).body.error).toBe('invalid_client_metadata')
  const { body } = await one.register({ ...metadata, dpop_bound_access_tokens: true })
  expect(body.refresh_token_issuance).toBe('keep')
  const client_id: string = body.client_id
  const { code, verifier } = await one.authorize({ client_id })
  const { body: tokens } = await one.token(
    {
      grant_type: 'authorization_code',
      client_id,
      code,
      code_verifier: verifier,
      redirect_uri: 'https://client.example/cb',
    },
    { DPoP: proofFor(one) },
  )
  const parameters = { grant_type: 'refresh_token', client_id, refresh_token: tokens.refresh_token }
  for (const [by, error] of [
    [key, undefined],
    [await dpopKey(clock), 'invalid_grant'],
    [key, undefined],
  ] as const) {
    const answer = await one.token(parameters, { DPoP: proofFor(one, by) })
    expect(answer.body.error).toBe(error)
    if (error === undefined) expect(answer.body.refresh_token).toBe(tokens.refresh_token)
  }
})

test('metadata names the algorithms, and scripts of other origins may send proofs and read nonces', async () => {
  const { body } = await world.call('/.well-known/oauth-authorization-server')
  expect(body.dpop_signing_alg_values_supported).toEqual([
    'ES256',
    'ES384',
    'ES512',
    'RS256',
    'PS256',
    'EdDSA',
    'Ed25519',
  ])
  const open = await start({ aat: { corsOrigins: ['https://app.example'] } })
  const preflight = await fetch(open.endpoint('token'), {
    method: 'OPTIONS',
    headers: { Origin: 'https://app.example', 'Access-Control-Request-Method': 'POST' },
  })
  expect(preflight.headers.get('access-control-allow-headers')).toContain('DPoP')
  expect(preflight.headers.get('access-control-expose-headers')).toContain('DPoP-Nonce')
})
