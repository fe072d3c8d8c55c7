import session from 'express-session'
import samlify from 'samlify'
import { makeCertificate } from '../../../example-app/idp/certificate.js'
import { startSamlProvider } from '../../../example-app/idp/saml-provider.js'
import { type SamlSignInOptions, type SignIn, samlSignIn } from '../../../lib/idp.ts'
import { StoreUnavailable } from '../../../lib/protocol/oauth-error.ts'
import { makeStores } from '../../support/stores.ts'
import {
  Browser,
  manualClock,
  pkce,
  REDIRECT_URI,
  startWorld,
  type TokenAnswer,
  type WorldOptions,
} from '../../support/world.ts'

/** Made once for all: keys cost a second of work. */
export const ours = makeCertificate('the app')
export const theirs = makeCertificate('the provider')

export const SESSION = 3600

export interface SiteOptions {
  world?: WorldOptions
  signIn?: Partial<SamlSignInOptions>
  /** What we hold to be the provider's. */
  certificates?: string | string[]
  provider?: Partial<Parameters<typeof startSamlProvider>[0]>
  session?: Partial<session.SessionOptions>
}

/** Our app and a SAML provider, both on real ports: by default with one clock. */
export async function startSite(options: SiteOptions = {}) {
  const clock = options.world?.clock ?? manualClock()
  let signIn: SignIn | undefined
  const stores = await makeStores(clock)
  const away = { replays: false, revocations: false }
  const refuse = () => Promise.reject(new StoreUnavailable('away'))
  const world = await startWorld({
    clock,
    stores: {
      ...stores,
      replays: { claim: (...args) => (away.replays ? refuse() : stores.replays.claim(...args)) },
      revocations: {
        ...stores.revocations,
        append: (entry) => (away.revocations ? refuse() : stores.revocations.append(entry)),
      },
    },
    aat: { refreshTokens: { boundToIdpSession: true } },
    before: (app) =>
      app.use(
        session({
          secret: 'of the tests',
          resave: false,
          saveUninitialized: false,
          cookie: { sameSite: 'lax' },
          ...options.session,
        }),
      ),
    authorize: {
      resolveUser: (req) => signIn?.resolveUser(req),
      signInUrl: (context) => signIn?.signInUrl(context) ?? '/',
    },
    ...options.world,
  })
  const url = `${world.base}/saml`
  const alter = { message: (xml: string) => xml }
  const provider = await startSamlProvider({
    serviceProvider: {
      entityId: `${url}/metadata`,
      callbackUrl: `${url}/callback`,
      logoutUrl: `${url}/logout`,
      certificate: ours.certificate,
    },
    clock,
    keys: theirs,
    sessionLifetime: SESSION,
    alter: (xml) => alter.message(xml),
    ...options.provider,
  })
  signIn = samlSignIn(world.aat, {
    url,
    idp: {
      entityId: provider.entityId,
      signInUrl: provider.signInUrl,
      logoutUrl: provider.logoutUrl,
      certificates: options.certificates ?? provider.certificate,
    },
    ...ours,
    ...options.signIn,
  })
  world.app.use('/saml', signIn.router)

  /** Posts a form as a browser does that is on the provider's site: without `SameSite=Lax` cookies. */
  function postFromElsewhere(address: string, fields: Record<string, string>): Promise<Response> {
    return fetch(address, { method: 'POST', body: new URLSearchParams(fields), redirect: 'manual' })
  }

  /** Sends a page's form, with the browser's cookies. */
  async function submit(browser: Browser, page: Response, more: Record<string, string> = {}) {
    const { action, fields } = await browser.readForm(page)
    return browser.send(new URL(action, page.url).href, {
      method: 'POST',
      body: new URLSearchParams({ ...Object.fromEntries(fields), ...more }),
    })
  }

  /** From an address of ours up to the provider's answer: the form that its page would post to us. */
  async function answerOf(browser: Browser, address = `${url}/?return_to=/there`, as = 'alice') {
    let page = await browser.follow(await browser.get(address), () => true)
    let text = await page.clone().text()
    if (text.includes('name="password"')) {
      const password = as === 'alice' ? 'wonderland' : 'builder'
      page = await submit(browser, page, { username: as, password })
      text = await page.clone().text()
    }
    const { action, fields } = await browser.readForm(text)
    if (!fields.some(([name]) => name === 'SAMLResponse'))
      throw new Error(`no answer: ${page.status} ${text}`)
    return { action, ...(Object.fromEntries(fields) as { SAMLResponse: string; RelayState?: string }) }
  }

  /** Delivers the answer: first without our cookies, then again from our own page. */
  async function deliver(browser: Browser, answer: Record<string, string>): Promise<Response> {
    const { action = `${url}/callback`, ...fields } = answer
    const page = await postFromElsewhere(action, fields)
    if (page.status !== 200 || !(await page.clone().text()).includes('name="again"')) return page
    return submit(browser, page)
  }

  /** The whole way in; the answer to the delivery. */
  async function signInAs(browser: Browser, as = 'alice', address?: string): Promise<Response> {
    return deliver(browser, await answerOf(browser, address, as))
  }

  /** Authorize, sign in at the provider, consent, and the tokens. */
  async function tokens(
    browser = new Browser(world.base),
    as = 'alice',
    parameters: Record<string, string> = {},
  ): Promise<TokenAnswer> {
    const { verifier, challenge } = pkce()
    const isOurs = (address: string) =>
      address.startsWith(world.base) || address.startsWith(new URL(provider.signInUrl).origin)
    let page = await browser.follow(
      await browser.get(world.authorizeUrl({ code_challenge: challenge, ...parameters })),
      isOurs,
    )
    let text = await page.clone().text()
    if (text.includes('name="password"')) {
      page = await submit(browser, page, {
        username: as,
        password: as === 'alice' ? 'wonderland' : 'builder',
      })
      text = await page.clone().text()
    }
    if (text.includes('name="SAMLResponse"')) {
      const { action, fields } = await browser.readForm(text)
      page = await browser.follow(await deliver(browser, { action, ...Object.fromEntries(fields) }), isOurs)
      text = await page.clone().text()
    }
    if (page.status === 200) page = await browser.submitConsent(page, { decision: 'allow' })
    const location = page.headers.get('location')
    if (location === null) throw new Error(`no code: ${page.status} ${text}`)
    return world.token({
      grant_type: 'authorization_code',
      code: new URL(location).searchParams.get('code') ?? '',
      code_verifier: verifier,
      redirect_uri: REDIRECT_URI,
    })
  }

  async function close() {
    await provider.close()
    await world.close()
  }

  return {
    world,
    clock,
    url,
    provider,
    signIn,
    alter,
    /** Which stores cannot be reached. */
    away,
    postFromElsewhere,
    submit,
    answerOf,
    deliver,
    signInAs,
    tokens,
    close,
    newBrowser: () => new Browser(world.base),
    /** What a page says to people. */
    textOf: async (response: Response) =>
      (await response.text())
        .replace(/<style>[^<]*|<[^>]+>/g, ' ')
        .replaceAll('&#39;', "'")
        .replace(/\s+/g, ' '),
  }
}
export type Site = Awaited<ReturnType<typeof startSite>>

export const encode = (xml: string) => Buffer.from(xml).toString('base64')
export const decode = (base64: string) => Buffer.from(base64, 'base64').toString()

/** Signs a whole message as the provider does, for a form. */
export function signMessage(xml: string, keys = theirs): string {
  return samlify.SamlLib.constructSAMLSignature({
    rawSamlMessage: xml,
    referenceTagXPath: '/*',
    privateKey: keys.privateKey,
    signingCert: keys.certificate.replace(/-----[^-]+-----|\n/g, ''),
    signatureAlgorithm: samlify.Constants.algorithms.signature.RSA_SHA256,
    signatureConfig: {
      prefix: 'ds',
      location: { reference: "/*/*[local-name(.)='Issuer']", action: 'after' },
    },
  })
}
