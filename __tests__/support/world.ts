import { createHash, randomBytes } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express, { type Express } from 'express'
import {
  type Aat,
  type AatEvent,
  type AatOptions,
  type AuthorizeEndpointOptions,
  authorizeEndpoint,
  createAat,
  type DcrEndpointOptions,
  dcrEndpoint,
  getAat,
  introspectionEndpoint,
  requireAat,
  revocationEndpoint,
  type SignedInUser,
  type Stores,
  tokenEndpoint,
  wellKnown,
} from '../../lib/index.ts'
import { makeStores } from './stores.ts'

/** A clock that stands still until it is told to move; seconds since the epoch. */
export function manualClock(start = 1_800_000_000) {
  const clock = Object.assign(() => clock.now, {
    now: start,
    advance(seconds: number) {
      clock.now += seconds
    },
  })
  return clock
}
export type ManualClock = ReturnType<typeof manualClock>

export interface WorldOptions {
  /** Overrides of createAat's options; a function of the base URL where URLs are needed. */
  aat?: Partial<AatOptions> | ((base: string) => Partial<AatOptions>)
  /** Path of the issuer, e.g. '/auth'; the suite's endpoints get it too, by their defaults. */
  issuerPath?: string
  /** Options of the endpoints. */
  authorize?: Partial<AuthorizeEndpointOptions>
  dcr?: Partial<DcrEndpointOptions>
  /** Runs before the suite is mounted: body parsers, `trust proxy`, … */
  before?: (app: Express) => void
  /** Runs after: more routes, a catch-all. */
  after?: (app: Express, aat: Aat) => void
  /** Shared stores and clock, for several instances. */
  stores?: Stores
  clock?: ManualClock
  /** Another express (4), for mount tests. */
  express?: typeof express
  /** Default true: the guarded routes are there. Without them any resources will do. */
  routes?: boolean
  /** Default true: wait for the signing key. */
  ready?: boolean
  /** The issuer of another world: several instances behind one name. */
  issuer?: string
}

/** Users that the stub sign-in knows, by the name in the cookie `user`. `authTime` is set when they sign in. */
export interface TestUser extends Partial<SignedInUser> {}

export const REDIRECT_URI = 'https://client.example/cb'
/** A confidential client of the configuration: code, refresh and client_credentials; `client_secret_basic`. */
export const CONFIDENTIAL = { id: 'confidential', secret: 'a-secret-of-the-test-suite-0123456789' }
/** A public client of the configuration. */
export const PUBLIC = { id: 'public' }
/** A resource server that may introspect tokens for `/api`. */
export const RESOURCE_SERVER = { id: 'api-server', secret: 'the-secret-of-the-resource-server' }

export interface TokenAnswer {
  status: number
  headers: Headers
  text: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look at whatever came back
  body: any
}

/**
 * An app with the whole suite mounted, on a real port of the loopback interface, with in-memory stores and a manual clock.
 *
 * Resources: `${base}/api` with scopes a, b, c (default a), lifetime 300 s, and `${base}/other` with scopes a, x.
 * Routes: GET /api/a (scope a), GET /api/ab (scopes a and b), GET /api/user (principal user), each answering req.auth's
 * subject, scopes and claims. Sign-in: GET /sign-in?return_to=…&as=alice signs in at once.
 */
export async function startWorld(options: WorldOptions = {}) {
  const make = options.express ?? express
  const app = make()
  const server: Server = createServer(app)
  // fetch takes a connection that it kept; on a machine that stands still for 5 s the server has just closed it.
  server.keepAliveTimeout = 120_000
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const issuer = options.issuer ?? base + (options.issuerPath ?? '')
  const issuerOrigin = new URL(issuer).origin
  const clock = options.clock ?? manualClock()
  const resource = `${issuerOrigin}/api`
  const otherResource = `${issuerOrigin}/other`

  const aat = createAat({
    issuer,
    secrets: ['test-secret-0123456789-0123456789-0123456789'],
    stores: options.stores ?? (await makeStores(clock)),
    clock,
    resources: {
      [resource]: {
        scopes: { a: 'Read your things', b: 'Change your things', c: 'Delete your things' },
        defaultScopes: ['a'],
      },
      [otherResource]: { scopes: ['a', 'x'] },
    },
    ...(options.routes !== false && { defaultResource: resource }),
    clients: [
      {
        clientId: CONFIDENTIAL.id,
        clientSecret: CONFIDENTIAL.secret,
        name: 'Confidential',
        redirectUris: [REDIRECT_URI],
        grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'],
      },
      { clientId: PUBLIC.id, name: 'Public', redirectUris: [REDIRECT_URI] },
      {
        clientId: RESOURCE_SERVER.id,
        clientSecret: RESOURCE_SERVER.secret,
        introspects: options.routes === false ? [] : [resource],
        grantTypes: ['client_credentials'],
      },
    ],
    // Tests make more clients from one address than anybody.
    registration: { quotas: false },
    ...(typeof options.aat === 'function' ? options.aat(base) : options.aat),
  })
  const events: AatEvent[] = []
  aat.on('*', (event) => events.push(event))

  /** What resolveUser says of a user beside the subject and the time; tests may add to it. */
  const users: Record<string, TestUser> = { alice: { displayName: 'Alice' }, bob: {} }

  options.before?.(app)
  app.use(wellKnown(aat))
  const at = options.issuerPath ?? ''
  app.use(
    `${at}/oauth/authorize`,
    authorizeEndpoint(aat, {
      resolveUser(req) {
        const match = /(?:^|; )user=([a-z]+)\.([\d.]+)/.exec(req.headers.cookie ?? '')
        if (match === null) return undefined
        const [, name = '', authTime] = match
        return { subject: name, authTime: Number(authTime), ...users[name] } as SignedInUser
      },
      signInUrl: '/sign-in',
      ...options.authorize,
    }),
  )
  app.use(`${at}/oauth/token`, tokenEndpoint(aat))
  app.use(`${at}/oauth/revoke`, revocationEndpoint(aat))
  app.use(`${at}/oauth/introspect`, introspectionEndpoint(aat))
  app.use(`${at}/oauth/register`, dcrEndpoint(aat, { allow: 'anyone', rateLimit: false, ...options.dcr }))
  app.get('/sign-in', (req, res) => {
    const url = new URL(req.originalUrl, base)
    res.setHeader('Set-Cookie', `user=${url.searchParams.get('as') ?? 'alice'}.${clock()}; Path=/`)
    res.redirect(303, url.searchParams.get('return_to') ?? '/')
  })
  const tell: express.RequestHandler = (req, res) => {
    const { subject, scopes, principal, claims } = getAat(req)
    res.json({ subject, scopes, principal, claims })
  }
  if (options.routes !== false) {
    app.get('/api/a', requireAat(aat, { scope: 'a', resource }), tell)
    app.get('/api/ab', requireAat(aat, { scope: ['a', 'b'], resource }), tell)
    app.get('/api/user', requireAat(aat, { scope: 'a', resource, principal: 'user' }), tell)
    app.get('/other/x', requireAat(aat, { scope: 'x', resource: otherResource }), tell)
  }
  options.after?.(app, aat)
  if (options.ready !== false) await aat.ready()

  const endpoint = (name: string) => `${base}${at}/oauth/${name}`

  async function post(
    url: string,
    parameters: Record<string, string> | [string, string][],
    headers: Record<string, string> = {},
  ): Promise<TokenAnswer> {
    const response = await fetch(url, {
      method: 'POST',
      body: new URLSearchParams(parameters),
      headers,
      redirect: 'manual',
    })
    return readAnswer(response)
  }

  /** POST to the token endpoint, as the confidential client (Basic) unless the parameters name a client. */
  async function token(
    parameters: Record<string, string> | [string, string][],
    headers?: Record<string, string>,
  ): Promise<TokenAnswer> {
    const names = Array.isArray(parameters) ? parameters.map(([name]) => name) : Object.keys(parameters)
    const own = names.some((name) => name === 'client_id' || name === 'client_assertion')
    return post(
      endpoint('token'),
      parameters,
      headers ?? (own ? {} : basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)),
    )
  }

  async function register(metadata: Record<string, unknown>): Promise<TokenAnswer> {
    const response = await fetch(endpoint('register'), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(metadata),
    })
    return readAnswer(response)
  }

  /** The URL of an authorization request: the confidential client's by default; `undefined` leaves a parameter out. */
  function authorizeUrl(parameters: Record<string, string | undefined>): string {
    const all: Record<string, string | undefined> = {
      client_id: CONFIDENTIAL.id,
      redirect_uri: REDIRECT_URI,
      response_type: 'code',
      code_challenge: pkce().challenge,
      code_challenge_method: 'S256',
      state: 'the-state',
      ...parameters,
    }
    const query = new URLSearchParams()
    for (const [name, value] of Object.entries(all)) if (value !== undefined) query.set(name, value)
    return `${endpoint('authorize')}?${query}`
  }

  /** The whole way of a user: authorize, sign in, consent to everything (or `scopes`), and back with the code. */
  async function authorize(
    parameters: Record<string, string | undefined> = {},
    {
      browser = new Browser(base),
      scopes,
      as = 'alice',
    }: { browser?: Browser; scopes?: string[]; as?: string } = {},
  ) {
    const { verifier, challenge } = pkce()
    if (!browser.cookies.has('user')) await browser.get(`${base}/sign-in?as=${as}&return_to=/`)
    let response = await browser.get(authorizeUrl({ code_challenge: challenge, ...parameters }))
    response = await browser.follow(response, (url) => url.startsWith(base))
    if (response.status === 200)
      response = await browser.submitConsent(response, {
        decision: 'allow',
        ...(scopes !== undefined && { scopes }),
      })
    const location = new URL(response.headers.get('location') ?? `error:no-location-but-${response.status}`)
    return {
      location,
      code: location.searchParams.get('code') ?? '',
      verifier,
      browser,
      parameters: Object.fromEntries(location.searchParams),
    }
  }

  /** Code and tokens in one go; further parameters go to the token request. */
  async function signInAndGetTokens(
    parameters: Record<string, string | undefined> = {},
    tokenParameters: Record<string, string> = {},
    settings: { scopes?: string[]; as?: string; browser?: Browser } = {},
  ): Promise<TokenAnswer> {
    const { code, verifier } = await authorize(parameters, settings)
    return token({
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: parameters.redirect_uri ?? REDIRECT_URI,
      ...tokenParameters,
    })
  }

  async function refresh(
    refreshToken: string,
    parameters: Record<string, string> = {},
  ): Promise<TokenAnswer> {
    return token({ grant_type: 'refresh_token', refresh_token: refreshToken, ...parameters })
  }

  /** GET of a guarded route. */
  async function call(
    path: string,
    accessToken?: string,
    headers: Record<string, string> = {},
  ): Promise<TokenAnswer> {
    return readAnswer(
      await fetch(base + path, {
        headers: { ...(accessToken !== undefined && { Authorization: `Bearer ${accessToken}` }), ...headers },
      }),
    )
  }

  async function close(): Promise<void> {
    await aat.close()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }

  return {
    app,
    aat,
    base,
    issuer,
    resource,
    otherResource,
    clock,
    events,
    users,
    server,
    endpoint,
    post,
    token,
    register,
    authorizeUrl,
    authorize,
    signInAndGetTokens,
    refresh,
    call,
    close,
    eventsNamed: (name: AatEvent['name']) => events.filter((event) => event.name === name),
  }
}
export type World = Awaited<ReturnType<typeof startWorld>>

export async function readAnswer(response: Response): Promise<TokenAnswer> {
  const text = await response.text()
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    body = undefined
  }
  return { status: response.status, headers: response.headers, text, body }
}

/** An Authorization header by RFC 6749 §2.3.1. */
export function basic(id: string, secret: string): Record<string, string> {
  const encode = (text: string) => encodeURIComponent(text).replace(/%20/g, '+')
  return { Authorization: `Basic ${Buffer.from(`${encode(id)}:${encode(secret)}`).toString('base64')}` }
}

export function pkce() {
  const verifier = randomBytes(32).toString('base64url')
  return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') }
}

/** The claims of a JWT, unverified. */
export function claimsOf(jwt: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString())
}

export function headerOf(jwt: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(jwt.split('.')[0] ?? '', 'base64url').toString())
}

/** A browser without a screen: keeps cookies, follows redirects, fills the real forms. */
export class Browser {
  readonly base: string
  readonly cookies = new Map<string, string>()

  constructor(base: string) {
    this.base = base
  }

  async send(url: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers)
    if (this.cookies.size > 0)
      headers.set('cookie', [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; '))
    const response = await fetch(new URL(url, this.base), { ...init, headers, redirect: 'manual' })
    for (const cookie of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie) ?? []
      if (name !== undefined && value !== undefined) this.cookies.set(name, value)
    }
    return response
  }

  get(url: string): Promise<Response> {
    return this.send(url)
  }

  /** Follows redirects while they stay where `inside` says. */
  async follow(
    response: Response,
    inside: (url: string) => boolean = (url) => url.startsWith(this.base),
  ): Promise<Response> {
    let current = response
    for (let hop = 0; hop < 10; hop++) {
      const location = current.headers.get('location')
      if (location === null) return current
      const url = new URL(location, this.base).href
      if (!inside(url)) return current
      current = await this.get(url)
    }
    throw new Error('too many redirects')
  }

  /** Reads the form of a consent page (its text can be given where it was read before). */
  async readForm(page: Response | string): Promise<{ action: string; fields: [string, string][] }> {
    const text = typeof page === 'string' ? page : await page.text()
    const decode = (value: string) =>
      value
        .replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code)))
        .replace(/&quot;/g, '"')
        .replace(/&amp;/g, '&')
    const action = decode(/<form[^>]* action="([^"]*)"/.exec(text)?.[1] ?? '')
    const fields: [string, string][] = []
    for (const [tag] of text.matchAll(/<input[^>]*>/g)) {
      const name = /name="([^"]*)"/.exec(tag)?.[1]
      const isOff = /type="checkbox"/.test(tag) && !/ checked/.test(tag)
      if (name !== undefined && !isOff)
        fields.push([decode(name), decode(/value="([^"]*)"/.exec(tag)?.[1] ?? '')])
    }
    return { action, fields }
  }

  async submitConsent(
    page: Response,
    { decision, scopes }: { decision: 'allow' | 'deny'; scopes?: string[] },
  ): Promise<Response> {
    const { action, fields } = await this.readForm(page)
    const kept = fields.filter(
      ([name, value]) => name !== 'scope' || scopes === undefined || scopes.includes(value),
    )
    return this.send(new URL(action, page.url).href, {
      method: 'POST',
      body: new URLSearchParams([...kept, ['decision', decision]]),
    })
  }
}
