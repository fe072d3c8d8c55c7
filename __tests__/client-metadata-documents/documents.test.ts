import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { cutMetadata } from '../../lib/clients/document-metadata.ts'
import { expectPage } from '../rfc6749-authorization/pages.ts'
import { HOST } from '../support/strangers-host.ts'
import { startWorld } from '../support/world.ts'
import { aDocument, CACHED, CALLBACK, CLIENT_ID, type Site, startSite } from './site.ts'

let site: Site
beforeEach(async () => {
  site = await startSite()
})
afterEach(() => site.close())

/** The document is refused: a page for the user, `invalid_client` for the program, and what the operator hears. */
async function expectRefused(id = CLIENT_ID): Promise<void> {
  const response = await site.ask({ client_id: id })
  expect([id, response.status, response.headers.get('location')]).toEqual([id, 400, null])
  expect(await expectPage(response)).toContain('invalid_client')
}
const reasons = () =>
  site.world.events.flatMap((event) => (event.name === 'client.document_refused' ? [event.reason] : []))

test('a client whose id is the URL of its metadata: sign-in, tokens, refresh', async () => {
  const { status, body } = await site.signIn({ scope: 'a' })
  expect(status).toBe(200)
  expect((await site.world.call('/api/a', body.access_token)).status).toBe(200)
  const refreshed = await site.refresh(body.refresh_token)
  expect(refreshed.status).toBe(200)
  expect(site.host.requests).toEqual([`${HOST}/client.json`])
  expect(await site.world.aat.clients.get(CLIENT_ID)).toMatchObject({
    clientId: CLIENT_ID,
    origin: 'document',
    name: 'A program of strangers',
    redirectUris: [CALLBACK],
  })
  expect(site.world.eventsNamed('client.document_fetched')).toMatchObject([
    { url: CLIENT_ID, kind: 'metadata' },
  ])
})

test('the metadata of the server says that it takes them, and only then', async () => {
  const of = async (world: Site['world']) =>
    (await world.call('/.well-known/oauth-authorization-server')).body.client_id_metadata_document_supported
  expect(await of(site.world)).toBe(true)
  const other = await startWorld()
  expect(await of(other)).toBeUndefined()
  await other.close()
})

test('CIM-001: off by default: a page, and nobody is connected to', async () => {
  const off = await startSite({ aat: { clientMetadataDocuments: false }, host: site.host })
  for (const parameters of [{}, { redirect_uri: undefined }]) {
    const response = await off.ask(parameters)
    expect(response.status).toBe(400)
    expect(await expectPage(response)).toContain('invalid_client')
  }
  expect((await off.refresh('aat_rt_nothing')).status).toBe(401)
  expect([site.host.lookups, site.host.connections]).toEqual([[], []])
  await off.close()
})

test('CIM-002: what is no https URL with a path is no such client, and nobody is connected to', async () => {
  for (const id of [
    `http://${HOST}/client.json`,
    `https://${HOST}`,
    `https://${HOST}/`,
    `https://${HOST}/?`,
    `https://${HOST}/a/../client.json`,
    `https://${HOST}/./client.json`,
    `https://${HOST}/%2e%2e/client.json`,
    `https://${HOST}/a/%2E./client.json`,
    `https://${HOST}/client.json#`,
    `https://${HOST}/client.json#a`,
    `https://user@${HOST}/client.json`,
    `https://user:password@${HOST}/client.json`,
    `https://${HOST}/client.json?`,
    `https://${HOST}:443/client.json`,
    `https://${HOST}:8443/client.json`,
    `https://${HOST.toUpperCase()}/client.json`,
    `https://${HOST}./client.json`,
    `https://${HOST}\\client.json`,
    `HTTPS://${HOST}/client.json`,
    `https://${HOST}/${'x'.repeat(512)}`,
  ])
    await expectRefused(id)
  expect([site.host.lookups, site.host.connections]).toEqual([[], []])
})

test('CIM-004: the client_id in the document is the URL, byte for byte', async () => {
  for (const other of [
    `${CLIENT_ID}/`,
    `https://${HOST}:443/client.json`,
    `https://${HOST.toUpperCase()}/client.json`,
    `https://${HOST}/Client.json`,
    `https://${HOST}/%63lient.json`,
    `${CLIENT_ID}?`,
    ` ${CLIENT_ID}`,
    '',
    undefined,
    null,
    [CLIENT_ID],
  ]) {
    site.host.answerJson(aDocument({ client_id: other }))
    await expectRefused()
    site.world.clock.advance(61)
  }
  expect(new Set(reasons())).toEqual(new Set(['its client_id is not its URL']))
  expect(site.host.connections).toHaveLength(11)
})

const special = [
  '127.0.0.1',
  '127.255.255.254',
  '10.0.0.1',
  '172.16.0.1',
  '192.168.0.1',
  '169.254.169.254',
  '100.64.0.1',
  '0.0.0.0',
  '192.0.0.1',
  '198.18.0.1',
  '224.0.0.1',
  '240.0.0.1',
  '::1',
  '::',
  'fe80::1',
  'fc00::1',
  '64:ff9b::7f00:1',
  '2002:7f00:1::',
  '::ffff:127.0.0.1',
  '2001:db8::1',
]

test('CIM-005: special-use addresses are refused before connecting, as literals in every spelling and behind names', async () => {
  for (const address of special) {
    await expectRefused(`https://${address.includes(':') ? `[${address}]` : address}/client.json`)
    site.host.resolveTo(() => [address])
    await expectRefused(`https://a${special.indexOf(address)}.client-host.com/client.json`)
  }
  for (const literal of ['2130706433', '0x7f000001', '0x7f.1', '0177.0.0.1', '127.1', '127.0.0.1.'])
    await expectRefused(`https://${literal}/client.json`)
  expect(site.host.connections).toEqual([])
  expect(reasons()).toHaveLength(special.length)
})

test('CIM-007: one special-use address among others is enough', async () => {
  for (const [index, answers] of [
    ['93.184.215.14', '::1'],
    ['93.184.215.14', '10.0.0.1'],
    ['fe80::1', '2606:2800:220:1::1'],
  ].entries()) {
    site.host.resolveTo(() => answers)
    await expectRefused(`https://b${index}.client-host.com/client.json`)
  }
  expect(site.host.connections).toEqual([])
})

test('CIM-008: a name that changes its address between the look and the connection gains nothing', async () => {
  const answers = [['93.184.215.14'], ['127.0.0.1']]
  site.host.resolveTo(() => answers.shift() ?? ['127.0.0.1'])
  expect((await site.ask()).status).toBe(303)
  expect(site.host.lookups).toHaveLength(1)
  expect(site.host.connections).toMatchObject([{ address: '93.184.215.14' }])
})

test('CIM-010: another status than 200 is no document, and is not taken for one later', async () => {
  for (const status of [201, 204, 206, 304, 404, 410, 301, 302, 307]) {
    site.host.answer((_req, res) => {
      res.writeHead(status, { ...CACHED, 'Content-Type': 'application/json', Location: `${CLIENT_ID}2` })
      res.end(status === 204 || status === 304 ? undefined : JSON.stringify(aDocument()))
    })
    await expectRefused()
    site.world.clock.advance(61)
  }
  for (const status of [500, 502, 503, 429]) {
    site.host.answer((_req, res) => {
      res.writeHead(status, { ...CACHED, 'Content-Type': 'application/json' })
      res.end(JSON.stringify(aDocument()))
    })
    const response = await site.ask()
    expect([status, response.status, response.headers.get('retry-after')]).toEqual([status, 503, '5'])
    expect(await expectPage(response, 503)).toContain('temporarily_unavailable')
    site.world.clock.advance(61)
  }
  site.host.answerJson(aDocument())
  expect((await site.ask()).status).toBe(303)
})

test('CIM-011: too large, endless and compressed documents are left at the limit', async () => {
  site.host.answerJson(aDocument({ padding: 'x'.repeat(64 * 1024) }))
  await expectRefused()
  site.world.clock.advance(61)
  site.host.answerJson(
    aDocument({
      redirect_uris: Array.from({ length: 18 }, (_, index) => `${CALLBACK}/${index}${'x'.repeat(900)}`),
    }),
  )
  await expectRefused()
  site.world.clock.advance(61)
  site.host.answerJson('{}', { 'Content-Encoding': 'gzip' })
  await expectRefused()
  site.world.clock.advance(61)
  const closed = new Promise<void>((resolve) => {
    site.host.answer((_req, res) => {
      res.writeHead(200, { 'Content-Type': 'application/json' })
      const more = () => {
        while (!res.destroyed && res.write(' '.repeat(16 * 1024)));
      }
      res.on('drain', more).on('close', resolve)
      more()
    })
  })
  await expectRefused()
  await closed
  expect(reasons()).toEqual([
    'it is over 65536 bytes',
    'it has over 16384 bytes of metadata',
    'it is compressed',
    'it is over 65536 bytes',
  ])
})

test('CIM-013: only JSON is read', async () => {
  for (const type of ['text/html', 'text/plain', undefined, 'application/jsonp']) {
    site.host.answer((_req, res) => {
      if (type !== undefined) res.setHeader('Content-Type', type)
      res.end(JSON.stringify(aDocument()))
    })
    await expectRefused()
    site.world.clock.advance(61)
  }
  for (const type of ['application/json; charset=utf-8', 'application/client-metadata+json']) {
    site.host.answerJson(aDocument(), { 'Content-Type': type })
    expect((await site.ask()).status).toBe(303)
    site.world.clock.advance(3601)
  }
})

test('CIM-014: a secret that everybody can read is none', async () => {
  for (const over of [
    { token_endpoint_auth_method: 'client_secret_basic' },
    { token_endpoint_auth_method: 'client_secret_post' },
    { token_endpoint_auth_method: 'client_secret_jwt' },
    { token_endpoint_auth_method: 'tls_client_auth' },
    { token_endpoint_auth_method: ['none'] },
    { client_secret: 'a-secret-that-everybody-can-read' },
    { client_secret_expires_at: 0 },
  ]) {
    site.host.answerJson(aDocument(over))
    await expectRefused()
    site.world.clock.advance(61)
  }
})

test('CIM-016: redirect URIs are judged as at registration', async () => {
  for (const redirectUris of [
    undefined,
    [],
    'https://a.example/cb',
    ['javascript:alert(1)'],
    [CALLBACK, 'javascript:alert(1)'],
    [CALLBACK, 'data:text/html,x'],
    [CALLBACK, 'http://a.example/cb'],
    [CALLBACK, `${CALLBACK}#x`],
    [CALLBACK, 'https://*.example/cb'],
    Array.from({ length: 21 }, (_, index) => `${CALLBACK}/${index}`),
    // Nothing that can be used is left.
    ['cursor://callback'],
  ]) {
    site.host.answerJson(aDocument({ redirect_uris: redirectUris }))
    await expectRefused()
    site.world.clock.advance(61)
  }
})

describe('CIM-016: the consent page says who publishes the client and where it leads', () => {
  const consentPage = async (redirectUri: string) => {
    const { browser } = await site.world.authorize({}, {})
    const response = await browser.follow(
      await browser.get(site.world.authorizeUrl({ client_id: CLIENT_ID, redirect_uri: redirectUri })),
    )
    expect(response.status).toBe(200)
    return response.text()
  }

  test('to the host itself', async () => {
    const page = await consentPage(CALLBACK)
    expect(page).toContain(`published by <strong>${HOST}</strong>. Allow it only if you know that address.`)
  })

  test('to another place', async () => {
    site.host.answerJson(aDocument({ redirect_uris: ['https://elsewhere.example/cb'] }))
    const page = await consentPage('https://elsewhere.example/cb')
    expect(page).toContain(`published by <strong>${HOST}</strong>, but would send you to another place`)
    expect(page).toContain('<strong>elsewhere.example</strong>')
  })

  test('to a program on the same device', async () => {
    site.host.answerJson(aDocument({ redirect_uris: ['http://127.0.0.1/cb'] }))
    const page = await consentPage('http://127.0.0.1:54321/cb')
    expect(page).toContain(`published by <strong>${HOST}</strong> and runs on this device`)
    expect(page).toContain('where any program could pass for it')
  })

  test('a document without a name: the host stands for it', async () => {
    site.host.answerJson(aDocument({ client_name: undefined }))
    expect(await consentPage(CALLBACK)).toContain(`<bdi>${HOST}</bdi> would like to use your account`)
  })
})

test('CIM-017: what is no JSON object, or would be read in two ways, is refused', async () => {
  const text = JSON.stringify(aDocument())
  for (const body of [
    text.slice(0, -1),
    'null',
    `[${text}]`,
    '""',
    text.replace('{', '{"client_name":"Another",'),
    text.replace('{', '{"redirect_uris":["https://attacker.example/cb"],'),
    text.replace('{', '{"__proto__":{"token_endpoint_auth_method":"none"},'),
    text.replace('{', '{"jwks":{"keys":[],"keys":[]},'),
  ]) {
    site.host.answerJson(body)
    await expectRefused()
    site.world.clock.advance(61)
  }
  expect(({} as Record<string, unknown>).token_endpoint_auth_method).toBeUndefined()
})

test('a document for many servers: what cannot be used here is dropped', async () => {
  site.host.answerJson(
    aDocument({
      client_name: 'A\u202ename',
      client_uri: 'http://a.example',
      logo_uri: 'javascript:alert(1)',
      contacts: 'somebody',
      software_id: 7,
      application_type: 'web',
      grant_types: [
        'authorization_code',
        'refresh_token',
        'urn:ietf:params:oauth:grant-type:device_code',
        'client_credentials',
      ],
      response_types: ['code', 'code id_token', 'none'],
      redirect_uris: [CALLBACK, 'cursor://callback', 'http://127.0.0.1:1234/cb', 'com.example.app:/cb'],
      jwks: { keys: 'none' },
      id_token_signed_response_alg: 'RS256',
      scope: 'a openid profile',
      unknown: { deep: [1, 2, { x: null }] },
    }),
  )
  const { status, body } = await site.signIn()
  expect([status, body.scope]).toEqual([200, 'a'])
  expect(await site.world.aat.clients.get(CLIENT_ID)).toMatchObject({
    name: undefined,
    redirectUris: [CALLBACK, 'http://127.0.0.1:1234/cb', 'com.example.app:/cb'],
    grantTypes: ['authorization_code', 'refresh_token'],
  })
})

test('what a document says of its tokens holds as at registration', async () => {
  site.host.answerJson(aDocument({ dpop_bound_access_tokens: true }))
  const unbound = await site.signIn()
  expect([unbound.status, unbound.body.error]).toEqual([400, 'invalid_dpop_proof'])
  site.world.clock.advance(3601)
  site.host.answerJson(aDocument({ access_token_lifetime: 60, refresh_token_lifetime: 600 }))
  const { body } = await site.signIn()
  expect([body.expires_in, body.refresh_token_expires_in]).toEqual([60, 600])
  // Every member that a registration tells back is one that a document may have.
  const told = await site.world.register({
    ...aDocument({ client_id: undefined }),
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: 'ES256',
    jwks_uri: `https://${HOST}/keys`,
    client_uri: `https://${HOST}/`,
    logo_uri: `https://${HOST}/`,
    policy_uri: `https://${HOST}/`,
    tos_uri: `https://${HOST}/`,
    contacts: ['a'],
    software_id: 'a',
    software_version: 'a',
    access_token_format: 'jwt',
    access_token_lifetime: 60,
    refresh_token_lifetime: 600,
    refresh_token_issuance: 'rotate',
    use_idp_session_expiry: true,
    dpop_bound_access_tokens: true,
    tls_client_certificate_bound_access_tokens: false,
    scope: 'a',
  })
  expect(told.status).toBe(201)
  const own = [
    'client_id',
    'client_id_issued_at',
    'application_type',
    'registration_access_token',
    'registration_client_uri',
  ]
  const cut = cutMetadata({ ...told.body, client_id: CLIENT_ID }, CLIENT_ID)
  expect(Object.keys(told.body).filter((name) => !Object.hasOwn(cut, name) && !own.includes(name))).toEqual(
    [],
  )
})

test('CIM-026: the server does not fetch from itself', async () => {
  const own = await startSite({ issuer: `https://${HOST}`, host: site.host, routes: false })
  expect((await own.ask()).status).toBe(400)
  expect((await own.ask({ client_id: `https://${HOST}/other.json` })).status).toBe(400)
  expect(site.host.connections).toEqual([])
  await own.close()
})

describe('whom the app trusts', () => {
  test('hosts: others are not even looked up', async () => {
    const strict = await startSite({
      aat: { clientMetadataDocuments: { hosts: ['*.partner.example', HOST] } },
      host: site.host,
    })
    expect((await strict.ask({ client_id: 'https://other.client-host.com/client.json' })).status).toBe(400)
    expect((await strict.ask({ client_id: 'https://partner.example/client.json' })).status).toBe(400)
    expect(site.host.lookups).toEqual([])
    expect((await strict.ask()).status).toBe(303)
    await strict.close()
  })

  test('trust sees the document and its URL, refuses, or names a policy', async () => {
    const seen: unknown[] = []
    let verdict: unknown = false
    const judged = await startSite({
      aat: {
        registration: { policies: { partners: { scopes: ['a'], accessTokenLifetime: 30 } } },
        clientMetadataDocuments: {
          trust: async (document, url) => {
            seen.push([document.client_name, document.client_id, url])
            return verdict as boolean
          },
        },
      },
      host: site.host,
    })
    expect((await judged.ask()).status).toBe(400)
    expect(seen).toEqual([['A program of strangers', CLIENT_ID, CLIENT_ID]])
    expect(judged.world.eventsNamed('client.document_refused')).toMatchObject([
      { reason: 'trust refused it' },
    ])

    verdict = { policy: 'partners' }
    judged.world.clock.advance(61)
    const { body } = await judged.signIn({ scope: 'a' })
    expect(body.expires_in).toBe(30)
    expect((await judged.ask({ scope: 'b' })).status).toBe(400)

    // Neither a name alone nor nothing is a yes; that is a fault of the app's, and no client's.
    for (const nonsense of ['partners', undefined, {}, 1, { policy: 'nobodys' }]) {
      verdict = nonsense
      judged.world.clock.advance(86_401)
      expect((await judged.ask()).status).toBe(500)
    }
    expect(judged.world.eventsNamed('fault')).toHaveLength(5)
    await judged.close()
  })

  test('options are checked at once', async () => {
    for (const [clientMetadataDocuments, problem] of [
      ['yes', /clientMetadataDocuments must be an object/],
      [{ host: [HOST] }, /did you mean hosts/],
      [{ hosts: ['localhost'] }, /hosts\[0\] must be a lower-case host/],
      [{ hosts: ['loopback'] }, /hosts\[0\] must be a lower-case host/],
      [{ hosts: ['com.example.app:'] }, /hosts\[0\] must be a lower-case host/],
      [{ hosts: [] }, /hosts must have 1 to 1000 entries/],
      [{ trust: true }, /trust must be a function/],
      [{ policy: 'nobodys' }, /policy is not one of registration.policies/],
    ] as const)
      await expect(
        startSite({ aat: { clientMetadataDocuments: clientMetadataDocuments as never }, host: site.host }),
      ).rejects.toThrow(problem)
    for (const [outbound, problem] of [
      [{ ports: [0] }, /ports\[0\] must be a whole number of port/],
      [{ longestCache: 59 }, /longestCache must be a whole number of seconds from 60/],
      [{ staleWhileAway: -1 }, /staleWhileAway must be a whole number/],
      [{ network: {} }, /network must have resolve, connect and after/],
    ] as const)
      await expect(startSite({ aat: { outbound: outbound as never }, host: site.host })).rejects.toThrow(
        problem,
      )
  })
})
