import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express, { type Express, Router } from 'express'
import {
  type AatOptions,
  authorizeEndpoint,
  createAat,
  dcrEndpoint,
  denyListEndpoint,
  getAat,
  introspectionEndpoint,
  memoryStores,
  requireAat,
  revocationEndpoint,
  tokenEndpoint,
  wellKnown,
} from '../../lib/index.ts'
import { Browser, basic, manualClock, pkce, readAnswer, type TokenAnswer } from '../support/world.ts'

/** How the suite is mounted into an app. */
export interface Setting {
  /** Path under which everything is, the issuer's too. */
  prefix?: string
  /** What the endpoints are mounted in. */
  container?: 'app' | 'sub-app' | 'router'
  /** Paths of the endpoints, below the prefix. */
  paths?: Partial<typeof usualPaths>
  /** Runs on the app before the suite is mounted, and after. */
  before?: (app: Express) => void
  after?: (app: Express) => void
  /** A reverse proxy stands before the app. `passOn`: it passes the client's own forwarding headers on. */
  proxy?: { passOn: boolean }
  /** Headers on every request of every client. */
  headers?: Record<string, string>
  aat?: Partial<AatOptions>
}

const usualPaths = {
  authorization: '/oauth/authorize',
  token: '/oauth/token',
  revocation: '/oauth/revoke',
  introspection: '/oauth/introspect',
  registration: '/oauth/register',
  denyList: '/oauth/denylist',
}

export const REDIRECT_URI = 'https://client.example/cb'
export const MACHINE = { id: 'machine', secret: 'a-secret-of-the-mount-suite-0123456789' }

/** An app with the whole suite mounted as the setting says, reached as its clients reach it. */
export async function openSite(setting: Setting) {
  const { prefix = '', container = 'app' } = setting
  const paths = { ...usualPaths, ...setting.paths }
  const app = express()
  const servers: Server[] = []
  const appUrl = await listen(createServer(app), servers)
  const origin = setting.proxy ? await listen(proxyTo(appUrl, setting.proxy.passOn), servers) : appUrl
  const issuer = origin + prefix
  const resource = `${issuer}/api`
  const clock = manualClock()
  const transcript: string[] = []

  const aat = createAat({
    issuer,
    secrets: ['test-secret-0123456789-0123456789-0123456789'],
    stores: memoryStores({ clock }),
    clock,
    resources: { [resource]: { scopes: { a: 'Read', b: 'Write' }, defaultScopes: ['a'] } },
    clients: [
      {
        clientId: MACHINE.id,
        clientSecret: MACHINE.secret,
        grantTypes: ['client_credentials'],
        introspects: [resource],
        mayDeny: true,
      },
    ],
    ...(setting.paths && {
      endpoints: Object.fromEntries(Object.entries(paths).map(([name, path]) => [name, prefix + path])),
    }),
    ...setting.aat,
  })

  setting.before?.(app)
  app.use(wellKnown(aat))
  const inner = container === 'app' ? app : container === 'router' ? Router() : express()
  const at = container === 'app' ? prefix : ''
  inner.use(
    at + paths.authorization,
    authorizeEndpoint(aat, {
      resolveUser(req) {
        const [, subject, authTime] = /(?:^|; )user=([a-z]+)\.([\d.]+)/.exec(req.headers.cookie ?? '') ?? []
        return subject === undefined ? undefined : { subject, authTime: Number(authTime) }
      },
      signInUrl: '/sign-in',
    }),
  )
  inner.use(at + paths.token, tokenEndpoint(aat))
  inner.use(at + paths.revocation, revocationEndpoint(aat))
  inner.use(at + paths.introspection, introspectionEndpoint(aat))
  inner.use(at + paths.denyList, denyListEndpoint(aat))
  inner.use(at + paths.registration, dcrEndpoint(aat, { allow: 'anyone' }))
  for (const scope of ['a', 'b']) {
    inner.get(`${at}/api/${scope}`, requireAat(aat, { scope }), (req, res) => {
      const { subject, scopes } = getAat(req)
      res.json({ subject, scopes })
    })
  }
  if (inner !== app) app.use(prefix === '' ? '/' : prefix, inner)
  app.get('/sign-in', (req, res) => {
    const query = new URL(req.originalUrl, origin).searchParams
    res.setHeader('Set-Cookie', `user=alice.${clock()}; Path=/`)
    res.redirect(303, query.get('return_to') ?? '/')
  })
  setting.after?.(app)
  await aat.ready()

  /** A request as a client makes it: to the public origin, with the setting's headers; no redirect is followed. */
  async function send(url: string, init: RequestInit = {}): Promise<TokenAnswer> {
    const headers = new Headers(init.headers)
    for (const [name, value] of Object.entries(setting.headers ?? {})) headers.set(name, value)
    const answer = await readAnswer(
      await fetch(new URL(url, origin), { ...init, headers, redirect: 'manual' }),
    )
    transcript.push(`${[...answer.headers].join('\n')}\n\n${answer.text}`)
    return answer
  }

  function post(
    url: string,
    form: Record<string, string> | string,
    headers: Record<string, string> = {},
  ): Promise<TokenAnswer> {
    return send(url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/x-www-form-urlencoded', ...headers },
      body: new URLSearchParams(form).toString(),
    })
  }

  async function metadata(): Promise<Record<string, string>> {
    return (await send(`/.well-known/oauth-authorization-server${prefix}`)).body
  }

  async function register(more: Record<string, unknown> = {}): Promise<TokenAnswer> {
    return send((await metadata()).registration_endpoint as string, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
        client_name: 'Mounted',
        redirect_uris: [REDIRECT_URI],
        grant_types: ['authorization_code', 'refresh_token'],
        token_endpoint_auth_method: 'none',
        ...more,
      }),
    })
  }

  /** The whole way of a newcomer, by the published URLs only: registration, sign-in, consent, code, tokens. */
  async function arrive(scope?: string) {
    const { authorization_endpoint: authorize = '', token_endpoint: token = '' } = await metadata()
    const clientId = (await register()).body.client_id as string
    const { verifier, challenge } = pkce()
    const browser = new SiteBrowser(origin, setting.headers ?? {}, transcript)
    const query = new URLSearchParams({
      client_id: clientId,
      redirect_uri: REDIRECT_URI,
      response_type: 'code',
      code_challenge: challenge,
      code_challenge_method: 'S256',
      state: 'the-state',
      resource,
      ...(scope !== undefined && { scope }),
    })
    const page = await browser.follow(await browser.get(`${authorize}?${query}`))
    const consentUrl = page.url
    const back = await browser.submitConsent(page, { decision: 'allow' })
    const location = new URL(back.headers.get('location') ?? `error:${back.status}`)
    const tokens = await post(token, {
      grant_type: 'authorization_code',
      client_id: clientId,
      code: location.searchParams.get('code') ?? '',
      code_verifier: verifier,
      redirect_uri: REDIRECT_URI,
    })
    const refresh = (refreshToken: string) =>
      post(token, { grant_type: 'refresh_token', client_id: clientId, refresh_token: refreshToken })
    return { clientId, consentUrl, location, tokens, refresh }
  }

  function machineToken(form: Record<string, string> | string = { grant_type: 'client_credentials' }) {
    return post(prefix + paths.token, form, basic(MACHINE.id, MACHINE.secret))
  }

  function call(path: string, token?: string): Promise<TokenAnswer> {
    return send(`${prefix}/api/${path}`, {
      ...(token !== undefined && { headers: { Authorization: `Bearer ${token}` } }),
    })
  }

  async function close(): Promise<void> {
    await aat.close()
    for (const server of servers.reverse()) {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  }

  const urlOf = (name: keyof typeof usualPaths) => issuer + paths[name]
  const me = basic(MACHINE.id, MACHINE.secret)
  return {
    aat,
    app,
    clock,
    origin,
    issuer,
    prefix,
    resource,
    transcript,
    me,
    urlOf,
    send,
    post,
    metadata,
    register,
    arrive,
    machineToken,
    call,
    close,
  }
}
export type Site = Awaited<ReturnType<typeof openSite>>

class SiteBrowser extends Browser {
  readonly headers: Record<string, string>
  readonly transcript: string[]

  constructor(origin: string, headers: Record<string, string>, transcript: string[]) {
    super(origin)
    this.headers = headers
    this.transcript = transcript
  }

  override async send(url: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers)
    for (const [name, value] of Object.entries(this.headers)) headers.set(name, value)
    const response = await super.send(url, { ...init, headers })
    this.transcript.push(`${[...response.headers].join('\n')}\n\n${await response.clone().text()}`)
    return response
  }
}

async function listen(server: Server, servers: Server[]): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  servers.push(server)
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A reverse proxy: it says who came, how and for which host, and asks the app under its own name. */
function proxyTo(target: string, passOn: boolean): Server {
  return createServer((req, res) => {
    const client = req.socket.remoteAddress ?? ''
    const claimed = req.headers['x-forwarded-for']
    const headers = {
      ...req.headers,
      host: new URL(target).host,
      'x-forwarded-for': passOn && claimed !== undefined ? `${claimed}, ${client}` : client,
      'x-forwarded-proto': (passOn && req.headers['x-forwarded-proto']) || 'http',
      'x-forwarded-host': (passOn && req.headers['x-forwarded-host']) || req.headers.host,
    }
    const onward = request(target + req.url, { method: req.method, headers }, (answer) => {
      res.writeHead(answer.statusCode ?? 502, answer.rawHeaders)
      answer.pipe(res)
    })
    onward.on('error', () => res.destroy())
    req.pipe(onward)
  })
}
