import { afterEach, describe, expect, test } from '@jest/globals'
import { auth, type OAuthClientProvider, UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import type {
  OAuthClientInformationMixed,
  OAuthClientMetadata,
  OAuthTokens,
} from '@modelcontextprotocol/sdk/shared/auth.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import express, { type Express, type RequestHandler } from 'express'
import { type Aat, type AatOptions, memoryStores, requireAat } from '../../lib/index.ts'
import { StoreUnavailable } from '../../lib/protocol/oauth-error.ts'
import { DPOP_CHALLENGE } from '../support/dpop.ts'
import { HOST, startStrangersHost } from '../support/strangers-host.ts'
import { claimsOf, manualClock, startWorld, type World, type WorldOptions } from '../support/world.ts'
import { expectNoNull, visit } from './visit.ts'

const READ = 'tasks:read'
const WRITE = 'tasks:write'

/** An MCP server of the SDK's, guarded by requireAat: what a tool needs is asked before the message is handled. */
function mountMcp(app: Express, aat: Aat, resource: string): void {
  const guards: Record<string, RequestHandler> = {
    read_tasks: requireAat(aat, { resource, scope: READ }),
    write_task: requireAat(aat, { resource, scope: [READ, WRITE] }),
  }
  const anything = requireAat(aat, { resource, scope: READ })
  app.all(
    '/mcp',
    express.json(),
    (req, res, next) => (guards[req.body?.params?.name] ?? anything)(req, res, next),
    async (req, res) => {
      if (req.method !== 'POST') {
        res.status(405).set('Allow', 'POST').json({ error: 'no stream here' })
        return
      }
      const server = new McpServer({ name: 'tasks', version: '1.0.0' })
      for (const tool of ['read_tasks', 'write_task'])
        server.registerTool(tool, { description: tool }, ({ authInfo }) => ({
          content: [{ type: 'text', text: JSON.stringify(authInfo) }],
        }))
      const transport = new StreamableHTTPServerTransport({ enableJsonResponse: true })
      res.on('close', () => {
        void transport.close()
        void server.close()
      })
      await server.connect(transport as Transport)
      await transport.handleRequest(req, res, req.body)
    },
  )
  // What many apps end with: a page for everything. It must not stand in the way of discovery.
  app.use((_req, res) => {
    res.type('html').send('<!doctype html><title>The app</title>')
  })
}

/** A program of a user's: keeps what it is given, and is sent to the browser where the SDK says so. */
class Program implements OAuthClientProvider {
  information: OAuthClientInformationMixed | undefined
  stored: OAuthTokens | undefined
  verifier = ''
  authorizationUrl: URL | undefined
  redirectUrl = 'http://127.0.0.1:33418/callback'
  readonly metadata: Partial<OAuthClientMetadata>
  /** Where it publishes its metadata: it need not register then. */
  clientMetadataUrl?: string

  constructor(metadata: Partial<OAuthClientMetadata> = {}) {
    this.metadata = metadata
  }

  get clientMetadata(): OAuthClientMetadata {
    return {
      client_name: 'A program',
      redirect_uris: [this.redirectUrl],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
      ...this.metadata,
    }
  }
  state = () => 'state-of-the-program'
  clientInformation = () => this.information
  saveClientInformation(information: OAuthClientInformationMixed) {
    this.information = information
  }
  tokens = () => this.stored
  saveTokens(tokens: OAuthTokens) {
    this.stored = tokens
  }
  redirectToAuthorization(url: URL) {
    this.authorizationUrl = url
  }
  saveCodeVerifier(verifier: string) {
    this.verifier = verifier
  }
  codeVerifier = () => this.verifier
  invalidateCredentials(scope: 'all' | 'client' | 'tokens' | 'verifier' | 'discovery') {
    if (scope === 'all' || scope === 'client') this.information = undefined
    if (scope === 'all' || scope === 'tokens') this.stored = undefined
  }
}

interface Seen {
  line: string
  form: URLSearchParams | undefined
}

describe.each([
  ['an issuer at the root', ''],
  ['an issuer with a path', '/auth'],
])('the MCP SDK against %s', (_name, issuerPath) => {
  const closing: (() => unknown)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })

  async function start(options: WorldOptions = {}, aat: Partial<AatOptions> = {}) {
    const world = await startWorld({
      issuerPath,
      ...options,
      aat: (base) => ({
        resources: {
          [`${base}/mcp`]: { scopes: { [READ]: 'See your tasks', [WRITE]: 'Change your tasks' } },
          [`${base}/api`]: { scopes: ['a', 'b'], defaultScopes: ['a'] },
          [`${base}/other`]: { scopes: ['x'] },
        },
        defaultResource: `${base}/api`,
        clients: [],
        localhostAnyPort: true,
        ...aat,
      }),
      after: (app, aat) => mountMcp(app, aat, new URL('/mcp', aat.issuer).href),
    })
    closing.push(world.close)
    return world
  }

  /** The SDK's client of a program, with everything that it says and is told written down. */
  function mcp(world: World, program: Program) {
    const seen: Seen[] = []
    let heardOfStream = () => {}
    const recording: typeof fetch = async (input, init) => {
      const response = await fetch(input, init)
      const { pathname } = new URL(String(input))
      const body = init?.body
      seen.push({
        line: `${init?.method ?? 'GET'} ${pathname} ${response.status}`,
        form: body instanceof URLSearchParams ? body : undefined,
      })
      if (pathname !== '/mcp') expectNoNull(await response.clone().json())
      if (pathname === '/mcp' && init?.method === 'GET') heardOfStream()
      return response
    }
    const url = new URL(`${world.base}/mcp`)
    const open = () => new StreamableHTTPClientTransport(url, { authProvider: program, fetch: recording })
    let transport = open()

    return {
      seen,
      /** What was said since the last time. */
      lines: () => seen.splice(0).map(({ line }) => line),
      serverUrl: url,
      fetch: recording,

      /** The user's way in the browser, and what comes of it. */
      async finish() {
        const asked = program.authorizationUrl
        if (asked === undefined) throw new Error('the SDK asked for no authorization')
        program.authorizationUrl = undefined
        const { callback, asked: consent } = await visit(world, asked)
        expect(consent).toBe(true)
        expect(callback.searchParams.get('state')).toBe('state-of-the-program')
        expect(callback.searchParams.get('iss')).toBe(world.issuer)
        expect(callback.origin + callback.pathname).toBe(program.redirectUrl)
        await transport.finishAuth(callback.searchParams.get('code') ?? '')
        return asked
      },
      async connect() {
        transport = open()
        const client = new Client({ name: 'test', version: '1.0.0' })
        // In the background the SDK asks for a stream; it is waited for, so that nothing depends on who is first.
        const stream = new Promise<void>((resolve) => {
          heardOfStream = resolve
        })
        await client.connect(transport as Transport)
        await stream
        closing.push(() => client.close())
        return client
      },
    }
  }

  async function signedIn(world: World, program: Program) {
    const session = mcp(world, program)
    await expect(session.connect()).rejects.toBeInstanceOf(UnauthorizedError)
    await session.finish()
    const client = await session.connect()
    session.lines()
    return { ...session, client }
  }

  async function call(client: Client, name: string) {
    const result = await client.callTool({ name })
    const [content] = result.content as { type: string; text: string }[]
    return JSON.parse(content?.text ?? '')
  }

  test('arrives: challenge, metadata, registration, consent, token, tool call', async () => {
    const world = await start()
    const program = new Program()
    const session = mcp(world, program)
    await expect(session.connect()).rejects.toBeInstanceOf(UnauthorizedError)
    const discovery = [
      'GET /.well-known/oauth-protected-resource/mcp 200',
      `GET /.well-known/oauth-authorization-server${issuerPath} 200`,
    ]
    expect(session.lines()).toEqual(['POST /mcp 401', ...discovery, `POST ${issuerPath}/oauth/register 201`])
    const asked = await session.finish()
    expect(Object.fromEntries(asked.searchParams)).toMatchObject({
      scope: READ,
      resource: `${world.base}/mcp`,
      code_challenge_method: 'S256',
    })
    const [exchange] = session.seen.slice(-1)
    expect(exchange?.form?.get('resource')).toBe(`${world.base}/mcp`)
    expect(session.lines()).toEqual([...discovery, `POST ${issuerPath}/oauth/token 200`])
    expect(claimsOf(program.stored?.access_token ?? '')).toMatchObject({
      iss: world.issuer,
      aud: `${world.base}/mcp`,
      sub: 'alice',
      scope: READ,
    })

    const client = await session.connect()
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(['read_tasks', 'write_task'])
    expect(await call(client, 'read_tasks')).toMatchObject({
      token: program.stored?.access_token,
      clientId: program.information?.client_id,
      scopes: [READ],
      expiresAt: world.clock.now + 300,
      resource: `${world.base}/mcp`,
      extra: { subject: 'alice', principal: 'user', claims: { iss: world.issuer, sub: 'alice' } },
    })
    expect(session.lines()).not.toContain('POST /mcp 401')
  })

  test.each(['client_secret_basic', 'client_secret_post'])(
    'registers with a secret (%s), which the SDK sends as it stands',
    async (method) => {
      const world = await start()
      const program = new Program({ token_endpoint_auth_method: method })
      const { client } = await signedIn(world, program)
      expect(program.information?.client_secret).toMatch(/^[A-Za-z0-9_-]+$/)
      world.clock.advance(400)
      expect(await call(client, 'read_tasks')).toMatchObject({ scopes: [READ] })
    },
  )

  test('arrives by the URL of its metadata, without registration, and refreshes', async () => {
    const host = await startStrangersHost()
    closing.push(host.close)
    const world = await start({}, { clientMetadataDocuments: true, outbound: { network: host.network } })
    const program = new Program()
    program.clientMetadataUrl = `https://${HOST}/oauth/client.json`
    host.answerJson({ client_id: program.clientMetadataUrl, ...program.clientMetadata })
    const session = mcp(world, program)
    await expect(session.connect()).rejects.toBeInstanceOf(UnauthorizedError)
    expect(session.lines()).toEqual([
      'POST /mcp 401',
      'GET /.well-known/oauth-protected-resource/mcp 200',
      `GET /.well-known/oauth-authorization-server${issuerPath} 200`,
    ])
    await session.finish()
    const client = await session.connect()
    expect(await call(client, 'read_tasks')).toMatchObject({ clientId: program.clientMetadataUrl })
    world.clock.advance(306)
    expect(await call(client, 'read_tasks')).toMatchObject({ scopes: [READ] })
    expect(program.authorizationUrl).toBeUndefined()
    expect(host.requests).toEqual([`${HOST}/oauth/client.json`])
  })

  test('a loopback redirect may have another port each time', async () => {
    const world = await start()
    for (const host of ['127.0.0.1', 'localhost', '[::1]']) {
      const program = new Program()
      program.redirectUrl = `http://${host}:33418/callback`
      const session = mcp(world, program)
      await expect(session.connect()).rejects.toBeInstanceOf(UnauthorizedError)
      program.redirectUrl = `http://${host}:51004/callback`
      await expect(session.connect()).rejects.toBeInstanceOf(UnauthorizedError)
      await session.finish()
      expect(program.stored?.refresh_token).toBeDefined()
    }
  })

  test('an expired access token is refreshed on the way, with resource, and the user is not asked', async () => {
    const world = await start()
    const program = new Program()
    const { client, lines, seen } = await signedIn(world, program)
    const before = program.stored
    world.clock.advance(306)
    expect(await call(client, 'read_tasks')).toMatchObject({ token: program.stored?.access_token })
    expect(program.stored?.access_token).not.toBe(before?.access_token)
    expect(program.stored?.refresh_token).not.toBe(before?.refresh_token)
    expect(program.authorizationUrl).toBeUndefined()
    expect(seen.find(({ form }) => form?.get('grant_type') === 'refresh_token')?.form?.get('resource')).toBe(
      `${world.base}/mcp`,
    )
    const said = lines()
    expect(said[0]).toBe('POST /mcp 401')
    expect(said.slice(-2)).toEqual([`POST ${issuerPath}/oauth/token 200`, 'POST /mcp 200'])
  })

  test('two windows of one program refresh the same token at once: both go on', async () => {
    const world = await start()
    const program = new Program()
    const first = await signedIn(world, program)
    const other = new Program()
    other.information = program.information
    other.stored = program.stored
    const second = await mcp(world, other).connect()
    world.clock.advance(306)
    const answers = await Promise.all([call(first.client, 'read_tasks'), call(second, 'read_tasks')])
    expect(answers.map(({ scopes }) => scopes)).toEqual([[READ], [READ]])
    expect(other.stored?.refresh_token).toBe(program.stored?.refresh_token)
    world.clock.advance(306)
    expect(await call(first.client, 'read_tasks')).toMatchObject({ scopes: [READ] })
  })

  test('steps up after 403 insufficient_scope, with every scope that the tool needs', async () => {
    const world = await start()
    // The SDK refreshes before it thinks of authorizing again, so this is the way of a client without refresh tokens.
    const program = new Program({ grant_types: ['authorization_code'] })
    const { client, finish, lines } = await signedIn(world, program)
    expect(program.stored).not.toHaveProperty('refresh_token')
    await expect(call(client, 'write_task')).rejects.toBeInstanceOf(UnauthorizedError)
    expect(lines()[0]).toBe('POST /mcp 403')
    const asked = await finish()
    expect(asked.searchParams.get('scope')).toBe(`${READ} ${WRITE}`)
    expect(asked.searchParams.get('client_id')).toBe(program.information?.client_id)
    expect(await call(client, 'write_task')).toMatchObject({ scopes: [READ, WRITE] })
    expect(await call(client, 'read_tasks')).toMatchObject({ scopes: [READ, WRITE] })
  })

  test('steps up with a refresh token at hand: the SDK refreshes in vain once, then the program authorizes again', async () => {
    const world = await start()
    const program = new Program()
    const { client, finish, lines, serverUrl, fetch: recording } = await signedIn(world, program)
    await expect(call(client, 'write_task')).rejects.toMatchObject({ code: 403 })
    const said = lines()
    expect([said[0], ...said.slice(-2)]).toEqual([
      'POST /mcp 403',
      `POST ${issuerPath}/oauth/token 200`,
      'POST /mcp 403',
    ])
    const { refresh_token: _dropped, ...accessOnly } = program.stored as OAuthTokens
    program.stored = accessOnly
    expect(await auth(program, { serverUrl, scope: `${READ} ${WRITE}`, fetchFn: recording })).toBe('REDIRECT')
    await finish()
    expect(await call(client, 'write_task')).toMatchObject({ scopes: [READ, WRITE] })
    world.clock.advance(306)
    expect(await call(client, 'write_task')).toMatchObject({ scopes: [READ, WRITE] })
  })

  test('a dead refresh token makes it sign in again, as the same client', async () => {
    const world = await start()
    const program = new Program()
    const { client, finish } = await signedIn(world, program)
    const clientId = program.information?.client_id
    const { grants } = await world.aat.grants.list({ subject: 'alice' })
    await world.aat.revoke({ grantId: grants[0]?.grantId ?? '' })
    await expect(call(client, 'read_tasks')).rejects.toBeInstanceOf(UnauthorizedError)
    expect(program.stored).toBeUndefined()
    const asked = await finish()
    expect(asked.searchParams.get('client_id')).toBe(clientId)
    expect(await call(client, 'read_tasks')).toMatchObject({ clientId })
  })

  test('a deleted client is invalid_client, and registers again', async () => {
    const world = await start()
    const program = new Program()
    const { client, finish, lines } = await signedIn(world, program)
    const clientId = program.information?.client_id ?? ''
    expect(await world.aat.clients.delete(clientId)).toBe('deleted')
    await expect(call(client, 'read_tasks')).rejects.toBeInstanceOf(UnauthorizedError)
    const said = lines()
    expect(said).toContain(`POST ${issuerPath}/oauth/token 401`)
    expect(said.at(-1)).toBe(`POST ${issuerPath}/oauth/register 201`)
    expect(program.information?.client_id).not.toBe(clientId)
    await finish()
    expect(await call(client, 'read_tasks')).toMatchObject({ clientId: program.information?.client_id })
  })

  test('a store of clients that is away costs the program nothing: the server remembers it', async () => {
    const clock = manualClock()
    const stores = memoryStores({ clock })
    const { read } = stores.clients
    let isDown = false
    stores.clients.read = async (id) => {
      if (isDown) throw new StoreUnavailable('the store is away')
      return read(id)
    }
    const world = await start({ clock, stores })
    const program = new Program()
    const { client, lines } = await signedIn(world, program)
    const { information } = program
    clock.advance(306)
    isDown = true
    expect(await call(client, 'read_tasks')).toMatchObject({ clientId: information?.client_id })
    expect(lines()).toContain(`POST ${issuerPath}/oauth/token 200`)
    expect(program.information).toEqual(information)
    expect(program.authorizationUrl).toBeUndefined()
  })

  test('a store of refresh tokens that is away costs the program neither its tokens nor its registration nor a sign-in', async () => {
    const clock = manualClock()
    const stores = memoryStores({ clock })
    let isDown = false
    const { refresh } = stores.grants
    stores.grants.refresh = async (request) => {
      if (isDown) throw new StoreUnavailable('the store is away')
      return refresh(request)
    }
    const world = await start({ clock, stores })
    const faults: unknown[] = []
    world.aat.on('fault', (event) => faults.push(event))
    const program = new Program()
    const { client, lines } = await signedIn(world, program)
    const before = { tokens: program.stored, information: program.information }
    clock.advance(306)
    isDown = true
    await expect(call(client, 'read_tasks')).rejects.toMatchObject({ errorCode: 'temporarily_unavailable' })
    expect(lines().at(-1)).toBe(`POST ${issuerPath}/oauth/token 503`)
    expect(faults).toHaveLength(1)
    expect({ tokens: program.stored, information: program.information }).toEqual(before)
    expect(program.authorizationUrl).toBeUndefined()
    isDown = false
    expect(await call(client, 'read_tasks')).toMatchObject({ scopes: [READ] })
  })

  test('offline_access is tolerated and granted to nobody', async () => {
    const world = await start()
    const program = new Program({ scope: `${READ} offline_access` })
    const session = mcp(world, program)
    await expect(session.connect()).rejects.toBeInstanceOf(UnauthorizedError)
    const { serverUrl, fetch: recording } = session
    await auth(program, { serverUrl, scope: `${READ} offline_access`, fetchFn: recording })
    const asked = await session.finish()
    expect(asked.searchParams.get('scope')).toBe(`${READ} offline_access`)
    expect(program.stored).toMatchObject({ scope: READ, refresh_token: expect.any(String) })
    expect((await world.call('/.well-known/oauth-protected-resource/mcp')).text).not.toContain(
      'offline_access',
    )
    expect((await world.call('/mcp')).headers.get('www-authenticate')).not.toContain('offline_access')
  })

  test('the first answer is a plain challenge: Bearer first, no error, values quoted', async () => {
    const world = await start()
    const answer = await world.call('/mcp')
    expect(answer.status).toBe(401)
    expect(answer.headers.get('www-authenticate')).toBe(
      `Bearer scope="${READ}", resource_metadata="${world.base}/.well-known/oauth-protected-resource/mcp", ${DPOP_CHALLENGE}`,
    )
  })

  test('spellings of well-known URLs that are not ours are JSON 404s, whatever the app ends with', async () => {
    const world = await start()
    expect((await world.call('/anything')).text).toContain('<!doctype html>')
    const unknown = [
      '/.well-known/openid-configuration',
      '/.well-known/openid-configuration/auth',
      '/auth/.well-known/openid-configuration',
      '/.well-known/openid-configuration/mcp',
      '/mcp/.well-known/openid-configuration',
      '/.well-known/oauth-authorization-server/mcp',
      '/mcp/.well-known/oauth-authorization-server',
      '/.well-known/oauth-authorization-server/unknown/tenant',
      '/.well-known/oauth-authorization-server/',
      '/.well-known/oauth-protected-resource',
      '/.well-known/oauth-protected-resource/unknown',
      '/mcp/.well-known/oauth-protected-resource',
      '/.well-known/oauth-protected-resource/mcp/',
      issuerPath === ''
        ? '/.well-known/oauth-authorization-server/auth'
        : '/.well-known/oauth-authorization-server',
    ]
    for (const path of unknown) {
      const answer = await world.call(path, undefined, { 'MCP-Protocol-Version': '2025-11-25' })
      expect([path, answer.status, answer.headers.get('content-type')]).toEqual([
        path,
        404,
        'application/json',
      ])
      expect(answer.body.error).toEqual(expect.any(String))
    }
  })
})
