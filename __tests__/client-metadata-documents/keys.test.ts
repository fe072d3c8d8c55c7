import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { SignJWT } from 'jose'
import { HOST } from '../support/strangers-host.ts'
import { aDocument, CALLBACK, CLIENT_ID, type Site, startSite } from './site.ts'

const TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const KEYS_URL = `https://${HOST}/keys.json`
const pairs = new Map<string, { publicKey: KeyObject; privateKey: KeyObject }>()

/** A key pair by its kid. */
function pair(kid: string) {
  const known = pairs.get(kid) ?? generateKeyPairSync('ec', { namedCurve: 'P-256' })
  pairs.set(kid, known)
  return known
}
const jwks = (...kids: string[]) => ({
  keys: kids.map((kid) => ({
    ...pair(kid).publicKey.export({ format: 'jwk' }),
    kid,
    alg: 'ES256',
    use: 'sig',
  })),
})

let site: Site
/** Served by path; a function answers by itself. */
let routes: Record<string, object>
let serial = 0
beforeEach(async () => {
  site = await startSite({
    aat: {
      registration: {
        policies: { default: { grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'] } },
      },
    },
  })
  routes = {}
  site.host.answer((req, res) => {
    const body = routes[req.url ?? '']
    res.writeHead(body === undefined ? 503 : 200, {
      'Content-Type': 'application/json',
      'Cache-Control': 'max-age=86400',
    })
    res.end(JSON.stringify(body ?? {}))
  })
})
afterEach(() => site.close())

function assertion(
  clientId: string,
  kid: string,
  header: Record<string, unknown> = {},
  world = site.world,
): Promise<string> {
  const now = world.clock()
  return new SignJWT({ jti: `jti-${serial++}` })
    .setProtectedHeader({ alg: 'ES256', kid, ...header })
    .setIssuer(clientId)
    .setSubject(clientId)
    .setAudience(world.issuer)
    .setIssuedAt(now)
    .setExpirationTime(now + 60)
    .sign(pair(kid).privateKey)
}

async function clientToken(clientId: string, kid: string, header?: Record<string, unknown>) {
  return site.world.token({
    grant_type: 'client_credentials',
    scope: 'a',
    client_id: clientId,
    client_assertion_type: TYPE,
    client_assertion: await assertion(clientId, kid, header),
  })
}

async function register(jwksUri: string): Promise<string> {
  const { status, body } = await site.world.register({
    grant_types: ['client_credentials'],
    token_endpoint_auth_method: 'private_key_jwt',
    jwks_uri: jwksUri,
  })
  expect([status, body.jwks_uri, body.jwks]).toEqual([201, jwksUri, undefined])
  return body.client_id
}
const fetches = (path: string) => site.host.requests.filter((request) => request === `${HOST}${path}`).length

describe('jwks_uri of a registered client', () => {
  test('its keys are fetched once, and used', async () => {
    routes['/keys.json'] = jwks('one')
    const id = await register(KEYS_URL)
    expect(site.host.connections).toEqual([])
    expect((await clientToken(id, 'one')).status).toBe(200)
    expect((await clientToken(id, 'one')).status).toBe(200)
    expect(fetches('/keys.json')).toBe(1)
  })

  test('a new key works at once; unknown ones cause one fetch in half a minute, whoever sends them', async () => {
    routes['/keys.json'] = jwks('one')
    const id = await register(KEYS_URL)
    expect((await clientToken(id, 'one')).status).toBe(200)
    site.world.clock.advance(31)
    routes['/keys.json'] = jwks('two')
    expect((await clientToken(id, 'two')).status).toBe(200)
    expect((await clientToken(id, 'one')).status).toBe(401)
    for (let round = 0; round < 20; round++)
      expect((await clientToken(id, 'strange')).body.error).toBe('invalid_client')
    expect(fetches('/keys.json')).toBe(2)
    site.world.clock.advance(31)
    for (let round = 0; round < 20; round++)
      expect((await clientToken(id, 'strange')).body.error).toBe('invalid_client')
    expect(fetches('/keys.json')).toBe(3)
    expect((await clientToken(id, 'two')).status).toBe(200)
  })

  test('another key under the same kid', async () => {
    routes['/keys.json'] = { keys: [{ ...jwks('old').keys[0], kid: 'k' }] }
    const id = await register(KEYS_URL)
    expect((await clientToken(id, 'old', { kid: 'k' })).status).toBe(200)
    site.world.clock.advance(31)
    routes['/keys.json'] = { keys: [{ ...jwks('new').keys[0], kid: 'k' }] }
    expect((await clientToken(id, 'new', { kid: 'k' })).status).toBe(200)
    expect((await clientToken(id, 'old', { kid: 'k' })).status).toBe(401)
  })

  test('a key that was taken out is refused within an hour, whatever the headers say', async () => {
    routes['/keys.json'] = jwks('one', 'two')
    const id = await register(KEYS_URL)
    expect((await clientToken(id, 'one')).status).toBe(200)
    routes['/keys.json'] = jwks('two')
    site.world.clock.advance(3599)
    expect((await clientToken(id, 'one')).status).toBe(200)
    site.world.clock.advance(1)
    expect((await clientToken(id, 'one')).status).toBe(401)
  })

  test('a host that is away: the keys go on for a day; what cannot be told is 503, never invalid_client', async () => {
    routes['/keys.json'] = jwks('one')
    const id = await register(KEYS_URL)
    expect((await clientToken(id, 'one')).status).toBe(200)
    delete routes['/keys.json']
    site.world.clock.advance(31)
    const unknown = await clientToken(id, 'two')
    expect([unknown.status, unknown.body.error, unknown.headers.get('retry-after')]).toEqual([
      503,
      'temporarily_unavailable',
      '5',
    ])
    site.world.clock.advance(86_400 - 32)
    expect((await clientToken(id, 'one')).status).toBe(200)
    site.world.clock.advance(1)
    expect((await clientToken(id, 'one')).status).toBe(503)
    routes['/keys.json'] = jwks('two')
    site.world.clock.advance(16)
    expect((await clientToken(id, 'two')).status).toBe(200)
  })

  test('keys of another kind in the set are passed over', async () => {
    routes['/keys.json'] = {
      keys: [
        { ...jwks('enc').keys[0], use: 'enc' },
        { kty: 'oct', k: 'c2VjcmV0', kid: 'secret' },
        'nonsense',
        ...jwks('one').keys,
      ],
    }
    const id = await register(KEYS_URL)
    expect((await clientToken(id, 'one')).status).toBe(200)
    expect((await clientToken(id, 'enc')).status).toBe(401)
  })

  test('DCR-025: behind a name with a special-use address: nobody is connected to', async () => {
    for (const [index, address] of [
      '127.0.0.1',
      '10.0.0.1',
      '169.254.169.254',
      '::1',
      'fd00::1',
      '::ffff:127.0.0.1',
      '0.0.0.0',
      '100.64.0.1',
    ].entries()) {
      site.host.resolveTo(() => [address])
      const id = await register(`https://keys${index}.client-host.com/jwks`)
      expect((await clientToken(id, 'one')).body.error).toBe('invalid_client')
    }
    expect(site.host.connections).toEqual([])
    expect(site.world.eventsNamed('client.document_refused')).toHaveLength(8)
  })

  test('DCR-026: a redirect is not followed', async () => {
    const id = await register(KEYS_URL)
    site.host.answer((_req, res) => {
      res.writeHead(302, { Location: 'http://169.254.169.254/latest/meta-data/' })
      res.end()
    })
    expect((await clientToken(id, 'one')).body.error).toBe('invalid_client')
    expect(site.host.lookups).toEqual([HOST])
    expect(site.host.connections).toHaveLength(1)
  })

  test('DCR-028: huge, slow, of the wrong type, with too many keys', async () => {
    const id = await register(KEYS_URL)
    const refused = async (answer: Parameters<Site['host']['answer']>[0], reason: string) => {
      site.host.answer(answer)
      site.world.clock.advance(61)
      expect((await clientToken(id, 'one')).body.error).toBe('invalid_client')
      expect(site.world.eventsNamed('client.document_refused').at(-1)).toMatchObject({ kind: 'jwks', reason })
    }
    const text = JSON.stringify(jwks('one'))
    await refused((_req, res) => {
      res.writeHead(200, { 'Content-Type': 'application/json' })
      res.end(`${text}${' '.repeat(10 * 1024 * 1024)}`)
    }, 'it is over 65536 bytes')
    await refused((_req, res) => {
      res.writeHead(200, { 'Content-Type': 'text/html' })
      res.end(text)
    }, 'its content type is not application/json')
    await refused((_req, res) => {
      res.writeHead(200, { 'Content-Type': 'application/json' })
      res.end(JSON.stringify({ keys: Array(10_000).fill({}) }))
    }, 'it has no usable key, or too many')

    let begun: () => void = () => undefined
    const began = new Promise<void>((resolve) => {
      begun = resolve
    })
    site.host.answer((_req, res) => {
      res.writeHead(200, { 'Content-Type': 'application/json' })
      res.write('{')
      begun()
    })
    site.world.clock.advance(61)
    const slow = clientToken(id, 'one')
    await began
    // Meanwhile others are served.
    expect((await site.world.token({ grant_type: 'client_credentials', scope: 'a' })).status).toBe(200)
    site.host.pass(5)
    expect((await slow).status).toBe(503)
  })

  test('of a configured client', async () => {
    const { host } = site
    const client = { clientId: 'configured', grantTypes: ['client_credentials' as const], jwksUri: KEYS_URL }
    const other = await startSite({ host, aat: { clients: [client] } })
    host.answerJson(jwks('one'))
    const token = await other.world.token({
      grant_type: 'client_credentials',
      scope: 'a',
      client_id: 'configured',
      client_assertion_type: TYPE,
      client_assertion: await assertion('configured', 'one', {}, other.world),
    })
    expect(token.status).toBe(200)
    await other.close()
    for (const [over, problem] of [
      [{ jwksUri: 'https://127.0.0.1/keys' }, /clients\[0\]\.jwksUri must have a host name/],
      [{ jwksUri: 'http://keys.example/keys' }, /clients\[0\]\.jwksUri must be an https URL/],
      [{ jwks: jwks('one') }, /clients\[0\] must not have both/],
      [
        { jwksUri: undefined, tokenEndpointAuthMethod: 'private_key_jwt' as const },
        /jwks or jwksUri is missing/,
      ],
    ] as const)
      await expect(startSite({ host, aat: { clients: [{ ...client, ...over }] } })).rejects.toThrow(problem)
  })

  test('both jwks and jwks_uri, or neither, is refused at registration', async () => {
    for (const keys of [{ jwks: jwks('one'), jwks_uri: KEYS_URL }, {}])
      expect(
        (
          await site.world.register({
            grant_types: ['client_credentials'],
            token_endpoint_auth_method: 'private_key_jwt',
            ...keys,
          })
        ).body.error,
      ).toBe('invalid_client_metadata')
  })
})

describe('keys of a client by its document', () => {
  async function signIn(kid: string) {
    const { code, verifier } = await site.world.authorize({ client_id: CLIENT_ID, redirect_uri: CALLBACK })
    return site.world.token({
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: CALLBACK,
      client_id: CLIENT_ID,
      client_assertion_type: TYPE,
      client_assertion: await assertion(CLIENT_ID, kid),
    })
  }
  const published = (keys: Record<string, unknown>) =>
    aDocument({ token_endpoint_auth_method: 'private_key_jwt', ...keys })

  test('CIM-023: keys in the document: the old one fails when the copy is over, a new one works after a fetch', async () => {
    routes['/client.json'] = published({ jwks: jwks('one') })
    expect((await signIn('one')).status).toBe(200)
    expect((await signIn('two')).body.error).toBe('invalid_client')
    routes['/client.json'] = published({ jwks: jwks('two') })
    site.world.clock.advance(86_400)
    expect((await signIn('one')).body.error).toBe('invalid_client')
    expect((await signIn('two')).status).toBe(200)

    // Before the copy is over too, since an assertion by a key that is not known makes it be fetched.
    routes['/client.json'] = published({ jwks: jwks('three') })
    site.world.clock.advance(31)
    expect((await signIn('three')).status).toBe(200)
    expect((await signIn('two')).body.error).toBe('invalid_client')
  })

  test('CIM-023: a family that the old keys opened goes on with the new ones', async () => {
    routes['/client.json'] = published({ jwks: jwks('one') })
    const { body } = await signIn('one')
    routes['/client.json'] = published({ jwks: jwks('two') })
    site.world.clock.advance(86_400)
    const refresh = async (kid: string) =>
      site.world.token({
        grant_type: 'refresh_token',
        refresh_token: body.refresh_token,
        client_id: CLIENT_ID,
        client_assertion_type: TYPE,
        client_assertion: await assertion(CLIENT_ID, kid),
      })
    expect((await refresh('one')).body.error).toBe('invalid_client')
    expect((await refresh('two')).status).toBe(200)
  })

  test('keys at a jwks_uri of the document', async () => {
    routes['/client.json'] = published({ jwks_uri: KEYS_URL })
    routes['/keys.json'] = jwks('one')
    expect((await signIn('one')).status).toBe(200)
    expect((await signIn('two')).body.error).toBe('invalid_client')
    expect([fetches('/client.json'), fetches('/keys.json')]).toEqual([1, 1])
  })

  test('a document that offers both ways: with an assertion, which has to be good, or without', async () => {
    // The shape of a document that a large provider publishes.
    const both = {
      token_endpoint_auth_methods_supported: ['none', 'private_key_jwt'],
      token_endpoint_auth_signing_alg: 'ES256',
      jwks_uri: KEYS_URL,
    }
    routes['/keys.json'] = jwks('one')
    for (const method of ['private_key_jwt', 'none', undefined]) {
      routes['/client.json'] = published({ ...both, token_endpoint_auth_method: method })
      expect((await signIn('one')).status).toBe(200)
      expect((await signIn('strange')).body.error).toBe('invalid_client')
      expect((await site.signIn()).status).toBe(200)
      site.world.clock.advance(86_401)
    }
    routes['/client.json'] = published({ jwks_uri: KEYS_URL })
    expect((await site.signIn()).body.error).toBe('invalid_client')
  })

  test('the method may be left out where there are keys; a client that has them does not come without', async () => {
    routes['/client.json'] = published({ jwks: jwks('one'), token_endpoint_auth_method: undefined })
    expect((await signIn('one')).status).toBe(200)
    expect((await site.signIn()).body.error).toBe('invalid_client')
  })
})
