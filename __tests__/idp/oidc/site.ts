import type { RequestHandler, Router } from 'express'
import session from 'express-session'
import { startOidcProvider } from '../../../example-app/idp/oidc-provider.js'
import { type OidcSignInOptions, oidcSignIn, type SignIn } from '../../../lib/idp.ts'
import type { AatOptions, AuthorizeEndpointOptions, Stores } from '../../../lib/index.ts'
import { Browser, type ManualClock, manualClock, startWorld, type World } from '../../support/world.ts'

export const CLIENT = { id: 'the-app', secret: 'the-secret-of-the-app-at-the-provider' }
const PASSWORDS: Record<string, string> = { alice: 'wonderland', bob: 'builder' }

/** The machine's time, in which the provider lives, standing still; `ahead` seconds before it. */
export const clockOfNow = (ahead = 0) => manualClock(Math.floor(Date.now() / 1000) + ahead)

export interface SiteOptions {
  clock?: ManualClock
  aat?: Partial<AatOptions>
  stores?: Stores
  /** Options of `oidcSignIn`. */
  signIn?: Partial<OidcSignInOptions>
  authorize?: Partial<AuthorizeEndpointOptions>
  provider?: Partial<Omit<Parameters<typeof startOidcProvider>[0], 'clients'>>
  /** Metadata of the client at the provider. */
  client?: Record<string, unknown>
  /** Another session middleware than express-session. */
  sessions?: RequestHandler
  /** Another issuer than the provider that is started: one that misbehaves. */
  issuer?: string
}

/** An app whose users sign in at a real OpenID provider; both on the loopback interface. */
export async function startSite(options: SiteOptions = {}) {
  const late: { idp?: SignIn } = {}
  const idp = () => late.idp as SignIn
  const world: World = await startWorld({
    clock: options.clock ?? clockOfNow(),
    ...(options.stores && { stores: options.stores }),
    aat: { refreshTokens: { boundToIdpSession: true }, ...options.aat },
    authorize: {
      resolveUser: (req) => idp().resolveUser(req),
      signInUrl: (context) => idp().signInUrl(context),
      ...options.authorize,
    },
    before(app) {
      app.use(
        options.sessions ??
          session({
            name: 'app',
            secret: 'a secret of the tests',
            resave: false,
            saveUninitialized: false,
          }),
      )
      app.use('/sso', (req, res, next) => (idp().router as Router)(req, res, next))
      app.get('/whoami', (req, res) => void res.json(idp().resolveUser(req) ?? null))
    },
  })
  const url = `${world.base}/sso`
  const provider = await startOidcProvider({
    ...options.provider,
    clients: [
      {
        client_id: CLIENT.id,
        client_secret: CLIENT.secret,
        redirect_uris: [`${url}/callback`],
        post_logout_redirect_uris: [`${url}/signed-out`],
        backchannel_logout_uri: `${url}/backchannel-logout`,
        backchannel_logout_session_required: true,
        ...options.client,
      },
    ],
  })
  late.idp = oidcSignIn(world.aat, {
    url,
    issuer: options.issuer ?? provider.issuer,
    clientId: CLIENT.id,
    clientSecret: CLIENT.secret,
    ...options.signIn,
  })

  /** Signs in at the provider, from any page that leads there, until the browser stands at the callback. */
  async function atProvider(browser: SiteBrowser, from: Response, user = 'alice'): Promise<URL> {
    let response = await browser.follow(from, (address) => !address.startsWith(`${url}/callback`))
    if (response.status === 200) {
      const submitted = await browser.submit(response, { username: user, password: PASSWORDS[user] ?? '' })
      response = await browser.follow(submitted, (address) => !address.startsWith(`${url}/callback`))
    }
    return new URL(response.headers.get('location') ?? `error:no-callback-but-${response.status}`)
  }

  /** The whole way in, back to where it began. */
  async function signIn(browser: SiteBrowser, user = 'alice', query = ''): Promise<Response> {
    const callback = await atProvider(browser, await browser.get(`${url}${query}`), user)
    return browser.get(callback.href)
  }

  // biome-ignore lint/suspicious/noExplicitAny: tests look at whatever came back
  const who = async (browser: SiteBrowser): Promise<any> => (await browser.get(`${world.base}/whoami`)).json()

  /** Authorization request, sign-in, consent and tokens. */
  async function getTokens(browser: SiteBrowser, user = 'alice') {
    if ((await who(browser)) === null) await signIn(browser, user)
    browser.cookies.set('user', '-')
    return world.signInAndGetTokens({}, {}, { browser })
  }

  return {
    ...world,
    world,
    url,
    provider,
    idp,
    atProvider,
    signIn,
    who,
    getTokens,
    browser: () => new SiteBrowser(world.base),
    faults: () => world.eventsNamed('fault') as { error: Error; where: string }[],
    async close() {
      await provider.close()
      await world.close()
    },
  }
}
export type Site = Awaited<ReturnType<typeof startSite>>

/** Keeps cookies by origin and path: app and provider share a host, and cookies know no ports. */
export class SiteBrowser extends Browser {
  readonly #jars = new Map<string, Map<string, { value: string; path: string }>>()
  /** Every address that was asked for. */
  readonly visited: string[] = []

  override async send(url: string, init: RequestInit = {}): Promise<Response> {
    const target = new URL(url, this.base)
    this.visited.push(target.href)
    if (target.origin === new URL(this.base).origin) return super.send(target.href, init)
    const jar = this.#jars.get(target.origin) ?? new Map<string, { value: string; path: string }>()
    this.#jars.set(target.origin, jar)
    const headers = new Headers(init.headers)
    const sent = [...jar].filter(([, { path }]) => target.pathname.startsWith(path))
    headers.set('cookie', sent.map(([name, { value }]) => `${name.split('@')[0]}=${value}`).join('; '))
    const response = await fetch(target, { ...init, headers, redirect: 'manual' })
    for (const cookie of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? []
      const path = /; path=([^;]+)/i.exec(cookie)?.[1] ?? '/'
      if (/expires=Thu, 01 Jan 1970/i.test(cookie)) jar.delete(`${name}@${path}`)
      else jar.set(`${name}@${path}`, { value, path })
    }
    return response
  }

  override async follow(
    response: Response,
    inside: (url: string) => boolean = (url) => url.startsWith(this.base),
  ): Promise<Response> {
    let current = response
    for (let hop = 0; hop < 12; hop++) {
      const location = current.headers.get('location')
      if (location === null) return current
      const url = new URL(location, current.url || this.base).href
      if (!inside(url)) return current
      current = await this.send(url)
    }
    throw new Error('too many redirects')
  }

  /** Fills the form of a page and sends it. */
  async submit(page: Response, values: Record<string, string>): Promise<Response> {
    const { action, fields } = await this.readForm(page)
    return this.send(new URL(action || page.url, page.url).href, {
      method: 'POST',
      body: new URLSearchParams({ ...Object.fromEntries(fields), ...values }),
    })
  }
}
