import { expect, test } from '@jest/globals'
import { cutMetadata, readDocumentClient } from '../../lib/clients/document-metadata.ts'
import { FetchFailure } from '../../lib/clients/fetch-failure.ts'
import type { RegistrationPolicy } from '../../lib/clients/registration-policy.ts'
import { readConfiguration } from '../../lib/configuration.ts'
import { readOutboundUrl } from '../../lib/protocol/outbound-url.ts'
import { judgeRedirectUri } from '../../lib/protocol/redirect-uri.ts'
import { aDocument, CALLBACK, CLIENT_ID } from './site.ts'

/** mulberry32: the same numbers each time. */
function seeded(seed: number) {
  let state = seed
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T
}

const policy = readConfiguration({
  issuer: 'https://as.example.com',
  resources: { 'https://as.example.com/api': { scopes: ['a'] } },
}).registration.policies.get('default') as RegistrationPolicy

const names = [
  ...Object.keys(aDocument()),
  'client_uri',
  'logo_uri',
  'contacts',
  'software_id',
  'token_endpoint_auth_methods_supported',
  'token_endpoint_auth_signing_alg',
  'jwks',
  'jwks_uri',
  'scope',
  'access_token_lifetime',
  'refresh_token_issuance',
  'dpop_bound_access_tokens',
].filter((name) => name !== 'client_id')

test('50,000 seeded URLs: whatever is read is https to the very host that all parsers see, and nothing in digits', () => {
  const pick = seeded(7)
  const pieces = [
    ...['https://', 'https:/', 'http://', 'HTTPS://', 'https:\\\\', '//', ''],
    ...[
      'a.client-host.com',
      'client-host.com',
      '127.0.0.1',
      '0x7f.1',
      '2130706433',
      '[::1]',
      '[::ffff:7f00:1]',
      'localhost',
      'xn--bcher-kva.example',
    ],
    ...[
      '/',
      '/x',
      '..',
      './',
      '%2e%2e/',
      '%2F',
      '@',
      ':',
      ':443',
      ':80',
      '#',
      '?',
      '\\',
      ' ',
      '\t',
      '\n',
      '%00',
      '%',
      ';',
      '。',
      '①',
      'é',
      '.',
      '-',
      '_',
      '1',
      'a',
    ],
  ]
  let read = 0
  for (let round = 0; round < 50_000; round++) {
    const text = `${pick(['https://', pick(pieces)])}${pick(['a.client-host.com', pick(pieces)])}${pick(['/x', pick(pieces)])}${pick(['', pick(pieces)])}${pick(['', pick(pieces)])}`
    const url = readOutboundUrl(text)
    if ('problem' in url) continue
    read++
    const parsed = new URL(text)
    expect([parsed.protocol, parsed.hostname, parsed.port, parsed.username, parsed.hash]).toEqual([
      'https:',
      url.host,
      '',
      '',
      '',
    ])
    expect(parsed.pathname + parsed.search).toBe(url.path.replace(/\?$/, ''))
    expect(url.host).toMatch(/\.[a-z][a-z0-9-]*$/)
    expect(url.port).toBe(443)
  }
  expect(read).toBeGreaterThan(1000)
})

test('20,000 seeded documents: a client that may be used, or a refusal; never another error', () => {
  const pick = seeded(11)
  const values: unknown[] = [
    undefined,
    null,
    true,
    0,
    -1,
    1e9,
    '',
    'a',
    'none',
    'private_key_jwt',
    'client_secret_basic',
    CALLBACK,
    'javascript:alert(1)',
    [],
    {},
    [null],
    ['none'],
    ['code'],
    ['authorization_code', 'refresh_token'],
    ['client_credentials'],
    [CALLBACK, 'cursor://x'],
    ['http://127.0.0.1/', 'com.example.app:/x'],
    [CALLBACK, 'data:,x'],
    ['https://user@a.example/'],
    Array(30).fill(CALLBACK),
    { keys: [] },
    { keys: [{ kty: 'EC' }] },
    { keys: 'x' },
    'https://127.0.0.1/keys',
    'https://keys.client-host.com/keys',
    'x'.repeat(5000),
    '\u202e',
    { __proto__: null, toString: 1 },
  ]
  let used = 0
  for (let round = 0; round < 20_000; round++) {
    const document = aDocument()
    for (let change = pick([1, 2, 3, 4]); change > 0; change--) document[pick(names)] = pick(values)
    try {
      const client = readDocumentClient(cutMetadata(document, CLIENT_ID), CLIENT_ID, 0, policy)
      used++
      expect(['none', 'private_key_jwt']).toContain(client.authenticationMethod)
      expect(client.secrets).toEqual([])
      expect(client.redirectUris.length).toBeGreaterThan(0)
      for (const uri of client.redirectUris) expect(judgeRedirectUri(uri, policy)).toHaveProperty('kind')
      if (client.authenticationMethod === 'private_key_jwt')
        expect(client.jwks ?? client.jwksUri).toBeDefined()
    } catch (error) {
      if (!(error instanceof FetchFailure)) throw error
    }
  }
  expect(used).toBeGreaterThan(1000)
})
