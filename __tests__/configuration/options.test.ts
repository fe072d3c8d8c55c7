import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import {
  authorizeEndpoint,
  ConfigurationError,
  createAat,
  dcrEndpoint,
  getAat,
  introspectionEndpoint,
  memoryStores,
  OAuthError,
  protectedResource,
  remoteIssuer,
  requireAat,
  revocationEndpoint,
  tokenEndpoint,
  wellKnown,
} from '../../lib/index.ts'

const issuer = 'https://as.example'
const api = 'https://as.example/api'
const secret = 'a-secret-of-these-tests-0123456789-0123456789'
const good = () => ({ issuer, secrets: [secret], resources: { [api]: { scopes: ['a', 'b'] } } })
type Options = Record<string, unknown>

function problemsOf(make: () => unknown): readonly string[] {
  try {
    make()
  } catch (error) {
    if (error instanceof ConfigurationError) return error.problems
    throw error
  }
  return []
}
const problems = (options: Options) =>
  problemsOf(() => createAat({ ...good(), every: () => () => {}, ...options } as never))
const withClient = (client: Options) =>
  problems({ clients: [{ clientId: 'c', clientSecret: 'x'.repeat(16), ...client }] })

async function withEnvironment(value: string | undefined, run: () => void | Promise<void>): Promise<void> {
  const before = process.env.NODE_ENV
  if (value === undefined) delete process.env.NODE_ENV
  else process.env.NODE_ENV = value
  try {
    await run()
  } finally {
    if (before === undefined) delete process.env.NODE_ENV
    else process.env.NODE_ENV = before
  }
}

describe('unknown options', () => {
  test('are refused with the nearest known name, at every level', () => {
    expect(problems({ isuer: 1 })).toEqual(['isuer is not an option; did you mean issuer?'])
    expect(problems({ Secrets: 1 })).toEqual(['Secrets is not an option; did you mean secrets?'])
    expect(problems({ secret: 1 })).toEqual(['secret is not an option; did you mean secrets?'])
    expect(problems({ keys: { rotationIntervall: 1 } })).toEqual([
      'keys.rotationIntervall is not an option; did you mean rotationInterval?',
    ])
    expect(problems({ refreshTokens: { lifeTime: 1 } })).toEqual([
      'refreshTokens.lifeTime is not an option; did you mean lifetime?',
    ])
    expect(problems({ endpoints: { tokens: '/x' } })).toEqual([
      'endpoints.tokens is not an option; did you mean token?',
    ])
    expect(withClient({ clientid: 'x' })).toEqual([
      'clients[0].clientid is not an option; did you mean clientId?',
    ])
    expect(withClient({ refreshTokens: { isuance: 'keep' } })).toEqual([
      'clients[0].refreshTokens.isuance is not an option; did you mean issuance?',
    ])
    expect(problems({ resources: { [api]: { scopes: ['a'], scope: ['a'] } } })).toEqual([
      `resources["${api}"].scope is not an option; did you mean scopes?`,
    ])
    expect(problems({ dpop: { nonce: 'required' } } as never)).toEqual([
      'dpop.nonce is not an option; did you mean nonces?',
    ])
    expect(problems({ keys: { alg: 'es256' } })[0]).toContain('did you mean ES256?')
    expect(problems(JSON.parse('{"__proto__x": 1}'))[0]).toContain(
      '__proto__x is not an option; known: issuer,',
    )
    expect(problems(JSON.parse('{"__proto__": {"issuer": "x"}}'))[0]).toMatch(/^__proto__ is not an option/)
  })

  test('of endpoints and guards too', () => {
    const aat = createAat(good())
    const user = { resolveUser: () => undefined, signInUrl: '/in' }
    for (const [make, near] of [
      [() => tokenEndpoint(aat, { rateLimits: false } as never), 'rateLimit'],
      [() => tokenEndpoint(aat, { rateLimit: { windowSecs: 1 } } as never), 'windowSeconds'],
      [() => revocationEndpoint(aat, { ratelimit: false } as never), 'rateLimit'],
      [() => introspectionEndpoint(aat, { ratelimit: false } as never), 'rateLimit'],
      [() => dcrEndpoint(aat, { allow: 'anyone', polcy: 'default' } as never), 'policy'],
      [() => authorizeEndpoint(aat, { ...user, signinUrl: '/x' } as never), 'signInUrl'],
      [() => requireAat(aat, { scopes: 'a' } as never), 'scope'],
      [() => requireAat(aat, { dpop: 'required' } as never), 'require'],
      [() => remoteIssuer(issuer, { resources: good().resources, jwksUrl: api } as never), 'jwksUri'],
      [() => memoryStores({ maxEntrys: 1 } as never), 'maxEntries'],
    ] as [() => unknown, string][])
      expect(problemsOf(make).join()).toContain(`did you mean ${near}?`)
    return aat.close()
  })
})

describe('everything wrong is said at once', () => {
  test('one error with all of it, each with what would be right', () => {
    const all = problems({
      issuer: 'http://as.example',
      secrets: ['short'],
      codeLifetime: 0,
      keys: { alg: 'HS256', rsaBits: 1024 },
      clients: [{ clientId: '', clientSecret: 5 }],
      corsOrigins: ['https://a.example/'],
      nonsense: 1,
    })
    expect(all).toHaveLength(9)
    for (const part of [
      'issuer must be https',
      'secrets[0] must be a string of 32',
      'codeLifetime must be a whole number of seconds from 1 to 600, not 0',
      'keys.alg must be',
      'keys.rsaBits must be 2048, 3072 or 4096',
      'clients[0].clientId must be',
      'clients[0].clientSecret must be',
      'corsOrigins[0] must be an origin',
      'nonsense is not an option',
    ])
      expect(all.filter((problem) => problem.includes(part))).toHaveLength(1)
    expect(() => createAat({ ...good(), issuer: 'x', codeLifetime: 0 } as never)).toThrow(
      /^createAat: \n {2}- issuer .*\n {2}- codeLifetime /,
    )
  })

  test('what does not fit together is said at once too', () => {
    expect(
      problems({
        defaultResource: 'https://other.example',
        clients: [
          { clientId: 'c', redirectUris: ['http://a.example/cb'] },
          {
            clientId: 'c',
            clientSecret: 'x'.repeat(16),
            scopes: ['nope'],
            introspects: ['https://nope.example'],
          },
        ],
        keys: { publishBefore: 0 },
      }),
    ).toHaveLength(6)
  })

  test('HTP-013: no message repeats a secret, however short', () => {
    for (const hush of ['hunter2', 'hush.hush', 'hush_hush_hush_hush_hush_hush', 'hush-hush']) {
      const text = [
        ...problems({ secrets: [hush] }),
        ...withClient({ clientSecret: hush.slice(0, 15) }),
        ...withClient({ clientSecret: [hush.slice(0, 15)] }),
      ].join()
      expect(text).toMatch(/secrets\[0\].*clientSecret/)
      expect(text).not.toContain(hush.slice(0, 7))
    }
  })
})

describe('production', () => {
  const text = (options: Options) => problems(options).join('\n')

  test('refuses each danger, and lets each through by its name only', async () => {
    await withEnvironment('production', () => {
      const dangerous = {
        issuer: 'http://127.0.0.1:3000',
        resources: { 'http://127.0.0.1:3000/api': { scopes: ['a'] } },
        secrets: [],
      }
      expect(problems(dangerous)).toHaveLength(3)
      for (const name of ['memory-stores', 'generated-secret', 'http-issuer']) {
        expect(text(dangerous)).toContain(`allowInProduction: ['${name}']`)
        const left = text({ ...dangerous, allowInProduction: [name] })
        expect(left).not.toContain(`['${name}']`)
        expect(problems({ ...dangerous, allowInProduction: [name] })).toHaveLength(2)
      }
      expect(
        problems({ ...dangerous, allowInProduction: ['memory-stores', 'generated-secret', 'http-issuer'] }),
      ).toEqual([])
      expect(problems({ ...dangerous, allowInProduction: true })).toHaveLength(1)
      expect(text({ allowInProduction: ['memory-store'] })).toContain('did you mean memory-stores?')
      expect(problems({ secrets: [undefined] })).toHaveLength(2)
      expect(problems({ stores: memoryStores() })).toHaveLength(1)
      expect(problems({ stores: { ...memoryStores(), kind: 'redis' } })).toEqual([])
    })
  })

  test('and nothing of it elsewhere', async () => {
    for (const value of [undefined, 'development', 'test', 'Production'])
      await withEnvironment(value, () => {
        expect(problems({ secrets: [] })).toEqual([])
      })
  })
})

describe('the issuer and other URLs', () => {
  test('MET-008: without an issuer nothing starts', () => {
    const { issuer: _, ...rest } = good()
    expect(problemsOf(() => createAat(rest as never))).toEqual(['issuer must be a string; it is missing'])
  })

  test('MET-023: only inert URLs are published', () => {
    const wrong = [
      'https://as.example"',
      "https://as.example/'x",
      'https://as.example/$(id)',
      'https://as.example/`id`',
      'https://as.example/a b',
      'https://as.example/?x=1',
      'https://as.example/#x',
      'https://as.example/a;b',
      'https://as.example/a&b',
      'https://a;b.example',
      'https://user:pw@as.example',
      'javascript:alert(1)',
      'file:///etc/passwd',
      'ftp://as.example',
      'http://as.example',
      'http://127.0.0.1.evil.example',
      'HTTPS://as.example',
      'https://AS.example',
      'https://as.example:443',
      'https://as.example/a/../b',
      'https://as.example/%zz',
      'https://ås.example',
      '//as.example',
      'as.example',
      '',
      5,
      null,
      {},
    ]
    for (const url of wrong) {
      expect([url, problems({ issuer: url }).length]).toEqual([url, 1])
      expect(problemsOf(() => remoteIssuer(url as never, good())).length).toBeGreaterThan(0)
      if (typeof url === 'string')
        expect([url, problems({ resources: { [url]: { scopes: ['a'] } } }).length > 0]).toEqual([url, true])
    }
    expect(problems({ issuer: 'https://as.example/' })).toEqual(['issuer must not end with a slash'])
    for (const url of [
      'https://as.example/t1',
      'https://as.example:8443',
      'http://localhost:3000',
      'http://[::1]:3000',
    ])
      expect(problems({ issuer: url })).toEqual([])
  })

  test('MET-023: endpoint paths', () => {
    for (const path of [
      'oauth/token',
      '/oauth/token/',
      '/',
      '',
      '//x',
      '/a b',
      '/$(id)',
      '/a"b',
      '/a?b',
      'https://x.example/token',
      '/a%20b',
      `/${'x'.repeat(512)}`,
      5,
    ])
      expect([path, problems({ endpoints: { token: path } }).length]).toEqual([path, 1])
    expect(problems({ endpoints: { token: '/v1/token' } })).toEqual([])
  })

  test('corsOrigins are origins or *', () => {
    for (const origins of [
      ['*'],
      ['null'],
      ['https://a.example/'],
      ['https://a.example/x'],
      ['a.example'],
      [''],
      [5],
      'https://a.example',
      true,
      {},
      [/a/],
    ])
      expect([origins, problems({ corsOrigins: origins }).length]).toEqual([origins, 1])
    for (const origins of ['*', [], ['https://a.example', 'http://localhost:5173']])
      expect(problems({ corsOrigins: origins })).toEqual([])
  })
})

describe('the schedule of the keys', () => {
  test('each inequality is checked, with its numbers', () => {
    // C + Cv + I + σ = 300 + 600 + 5 + 60
    expect(problems({ keys: { publishBefore: 965 } })).toEqual([])
    expect(problems({ keys: { publishBefore: 964 } })).toEqual([
      expect.stringMatching(/^keys\.publishBefore \(964 s\) must be at least .* = 965 s/),
    ])
    expect(problems({ keys: { publishBefore: 1000, rotationInterval: 1000 } })).toEqual([])
    expect(problems({ keys: { publishBefore: 1000, rotationInterval: 999 } })).toEqual([
      expect.stringMatching(
        /^keys\.rotationInterval \(999 s\) must be at least keys\.publishBefore \(1000 s\)/,
      ),
    ])
    const tight = { jwksMaxAge: 0, verifierCache: 0, clockTolerance: 0 }
    expect(problems({ keys: { ...tight, publishBefore: 5, rotationInterval: 35 } })).toEqual([])
    expect(problems({ keys: { ...tight, publishBefore: 5, rotationInterval: 34 } })).toHaveLength(1)
    expect(problems({ keys: { ...tight, publishBefore: 4, rotationInterval: 3 } })).toHaveLength(3)
  })
})

describe('numbers, lists and hooks', () => {
  test('each number has its bounds and is whole', () => {
    for (const [name, min, max] of [
      ['codeLifetime', 1, 600],
      ['authorizationLifetime', 30, 3600],
      ['consentLifetime', 0, 2 ** 31],
      ['clockTolerance', 0, 60],
    ] as const) {
      for (const value of [
        min - 1,
        max + 1,
        min + 0.5,
        Number.NaN,
        Number.POSITIVE_INFINITY,
        `${min}`,
        null,
        true,
      ])
        expect([name, value, problems({ [name]: value }).length]).toEqual([name, value, 1])
      for (const value of [min, max, undefined])
        expect([name, value, problems({ [name]: value })]).toEqual([name, value, []])
    }
    for (const grace of [-1, 61, 1.5]) expect(problems({ refreshTokens: { grace } })).toHaveLength(1)
    for (const dpop of [{ proofLifetime: 4 }, { proofLifetime: 301 }, { nonces: true }, { replays: 'none' }])
      expect([dpop, problems({ dpop } as never).length]).toEqual([dpop, 1])
    for (const lifetime of [0, 86_401])
      expect(
        problems({ resources: { [api]: { scopes: ['a'], accessTokenLifetime: lifetime } } }),
      ).toHaveLength(1)
  })

  test('clients', () => {
    for (const client of [
      { clientId: 'dcr_x' },
      { clientId: 'https://c.example' },
      { clientId: 'a\nb' },
      { clientId: 'x'.repeat(256) },
      { clientSecret: undefined, tokenEndpointAuthMethod: 'client_secret_basic' },
      { clientSecret: [] },
      { tokenEndpointAuthMethod: 'none', redirectUris: ['https://a.example/cb'] },
      { tokenEndpointAuthMethod: 'private_key_jwt', clientSecret: undefined },
      { clientSecret: undefined },
      { grantTypes: ['authorization_code'] },
      { grantTypes: ['password'] },
      { redirectUris: ['https://*.example/cb'] },
      { redirectUris: ['javascript:alert(1)'] },
      { redirectUris: ['http://127.0.0.1/cb'], applicationType: 'web' },
      { scopes: ['nope'] },
      { introspects: ['https://nope.example'] },
      { introspects: [api], clientSecret: undefined, redirectUris: ['https://a.example/cb'] },
      { grantTypes: [] },
      { grantTypes: [], introspects: [] },
      { jwks: { keys: [] } },
      { firstParty: 'yes' },
    ])
      expect([client, withClient(client).length > 0]).toEqual([client, true])
    for (const server of [{ introspects: [api] }, { mayDeny: true }])
      expect(withClient({ grantTypes: [], ...server })).toEqual([])
    const publicKeep = (options: Options) =>
      problems({ clients: [{ clientId: 'p', redirectUris: ['https://a.example/cb'] }], ...options })
    expect(publicKeep({ refreshTokens: { issuance: 'keep' } })).toEqual([
      expect.stringContaining('dangerouslyKeepForPublicClients'),
    ])
    for (const bound of ['dpopBoundAccessTokens', 'tlsClientCertificateBoundAccessTokens'])
      expect(
        problems({
          clients: [{ clientId: 'p', redirectUris: ['https://a.example/cb'], [bound]: true }],
          refreshTokens: { issuance: 'keep' },
        }),
      ).toEqual([])
    expect(
      publicKeep({ refreshTokens: { issuance: 'keep', dangerouslyKeepForPublicClients: true } }),
    ).toEqual([])
  })

  test('resources', () => {
    for (const resources of [
      {},
      [],
      null,
      { [api]: {} },
      { [api]: { scopes: [] } },
      { [api]: { scopes: ['a b'] } },
      { [api]: { scopes: ['a"'] } },
      { [api]: { scopes: { a: 5 } } },
      { [api]: { scopes: ['a'], defaultScopes: ['b'] } },
      { [api]: { scopes: ['a'], audience: 'a b' } },
      { [`${api}/`]: { scopes: 'a' } },
      {
        [api]: { scopes: ['a'], audience: 'same' },
        'https://as.example/x': { scopes: ['a'], audience: 'same' },
      },
      { [api]: { scopes: Array.from({ length: 100 }, (_, index) => `scope-of-some-length-${index}`) } },
    ])
      expect([resources, problems({ resources }).length > 0]).toEqual([resources, true])
  })
})

describe('HTP-026: wrong types throw a TypeError while the app is built', () => {
  const nonsense = [null, 0, 1, '', 'x', true, [], () => {}, Symbol('x'), 5n, new Date(), /x/]

  test('HTP-026: createAat, each option and each level', () => {
    for (const value of [...nonsense, undefined, {}])
      expect(() => createAat(value as never)).toThrow(TypeError)
    for (const name of [
      'issuer',
      'secrets',
      'stores',
      'resources',
      'clients',
      'refreshTokens',
      'keys',
      'endpoints',
      'corsOrigins',
      'privateUseSchemes',
      'allowInProduction',
      'claims',
      'isSubjectActive',
      'dpop',
      'clientCertificate',
      'clock',
      'random',
      'every',
    ])
      for (const value of [null, 7, true])
        expect(() => createAat({ ...good(), [name]: value } as never)).toThrow(ConfigurationError)
    for (const stores of [{}, { grants: {} }, { grants: { refresh: () => {} } }])
      expect(() => createAat({ ...good(), stores } as never)).toThrow(ConfigurationError)
  })

  test('HTP-026: endpoints, guards and the rest', async () => {
    const aat = createAat(good())
    const remote = remoteIssuer(
      issuer,
      good().resources === undefined ? ({} as never) : { resources: good().resources },
    )
    const user = { resolveUser: () => undefined, signInUrl: '/in' }
    for (const value of [...nonsense, undefined, {}, { ...aat }]) {
      for (const make of [
        () => wellKnown(value as never),
        () => tokenEndpoint(value as never),
        () => revocationEndpoint(value as never),
        () => introspectionEndpoint(value as never),
        () => dcrEndpoint(value as never, { allow: 'anyone' }),
        () => authorizeEndpoint(value as never, user),
        () => requireAat(value as never),
        () => protectedResource(value as never),
      ])
        expect(make).toThrow(TypeError)
    }
    for (const value of [null, 1, 'x', true, [], Symbol('x')]) {
      for (const make of [
        () => tokenEndpoint(aat, value as never),
        () => revocationEndpoint(aat, value as never),
        () => introspectionEndpoint(aat, value as never),
        () => dcrEndpoint(aat, value as never),
        () => authorizeEndpoint(aat, value as never),
        () => requireAat(aat, value as never),
        () => requireAat(remote, value as never),
        () => remoteIssuer(issuer, value as never),
        () => memoryStores(value as never),
        () => memoryStores({ clock: value } as never),
        () => memoryStores({ maxEntries: value === 1 ? 0 : value } as never),
        () => dcrEndpoint(aat, { allow: value } as never),
        () => dcrEndpoint(aat, { allow: 'anyone', policy: value } as never),
        () => authorizeEndpoint(aat, { ...user, resolveUser: value } as never),
        () => authorizeEndpoint(aat, { ...user, signInUrl: value === 'x' ? '' : value } as never),
        () => authorizeEndpoint(aat, { ...user, renderConsent: value } as never),
        () => authorizeEndpoint(aat, { ...user, renderError: value } as never),
        () => tokenEndpoint(aat, { rateLimit: value } as never),
        () => tokenEndpoint(aat, { rateLimit: { store: value } } as never),
        () => requireAat(aat, { scope: value === 'x' ? 'a b' : Array.isArray(value) ? [5] : value } as never),
        () => requireAat(aat, { maxAge: value === 1 ? -1 : value } as never),
        () => requireAat(aat, { principal: value } as never),
        () => requireAat(aat, { resource: value } as never),
        () => requireAat(aat, { readClaims: value } as never),
        () => aat.on('fault', value as never),
        () => new OAuthError(value as never, 'x'),
        () => new OAuthError('invalid_request', (value === 'x' ? 5 : value) as never),
      ])
        expect(make).toThrow(TypeError)
    }
    expect(() => dcrEndpoint(aat, undefined as never)).toThrow(ConfigurationError)
    expect(() => authorizeEndpoint(aat, undefined as never)).toThrow(ConfigurationError)
    expect(() => requireAat(aat, { resource: 'https://other.example' })).toThrow(ConfigurationError)
    expect(() => dcrEndpoint(aat, { allow: 'anyone', policy: 'nope' })).toThrow(ConfigurationError)
    expect(() => getAat({} as never)).toThrow(/requireAat did not run/)
    for (const target of [
      undefined,
      null,
      {},
      { jti: '' },
      { jti: 1 },
      { jti: 'a', subject: 'b' },
      { user: 'x' },
      'x',
    ])
      await expect(aat.revoke(target as never)).rejects.toThrow(TypeError)
    await aat.close()
  })

  test('HTP-017: a rate-limit store that is not one of express-rate-limit is refused', async () => {
    const aat = createAat(good())
    const store = {
      increment: async () => ({ totalHits: 1, resetTime: undefined }),
      resetKey: () => {},
    }
    expect(() => tokenEndpoint(aat, { rateLimit: { store: store as never } })).toThrow(
      /with increment and decrement/,
    )
    await aat.close()
  })
})

test('HTP-025: at most three runtime dependencies, none of them ours to install by hand', () => {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  expect(Object.keys(manifest.dependencies).length).toBeLessThanOrEqual(3)
  expect(Object.keys(manifest.dependencies).sort()).toEqual(['express-rate-limit', 'helmet', 'jose'])
  expect(manifest.optionalDependencies ?? {}).toEqual({})
  expect(manifest.bundledDependencies ?? []).toEqual([])
  expect(Object.keys(manifest.scripts).filter((name) => /^(pre|post)?install$|^prepare$/.test(name))).toEqual(
    [],
  )
})
