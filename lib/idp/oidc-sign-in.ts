import type { Request, Response } from 'express'
import { type Aat, partsOf } from '../http/aat.ts'
import { readQuery } from '../http/body.ts'
import { redirect } from '../http/headers.ts'
import { sha256 } from '../protocol/digest.ts'
import type { Parameters } from '../protocol/form.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { randomId } from '../protocol/random.ts'
import { createAppSession, type KeptSignIn, type PendingSignIn } from './app-session.ts'
import { refusalOf } from './oidc-failure.ts'
import { type OidcSignInOptions, readOidcOptions } from './oidc-options.ts'
import { createOidcProvider } from './oidc-provider.ts'
import { oidcSignOutRoutes } from './oidc-sign-out.ts'
import { type Redeemed, signInOf } from './oidc-user.ts'
import { readWishes, type SignIn, signInUrlAt } from './sign-in.ts'
import { signInRouter } from './sign-in-router.ts'

/**
 * Seconds that no session is old. Who is asked for a `max_age` has to say when the user authenticated (OpenID Connect Core §2),
 * and a user who takes `prompt=login` out of an address must not pass for one who just did.
 */
const ANY_AGE = 315_360_000

/**
 * Sign-in at an OpenID provider: authorization code with PKCE S256, `state` and `nonce`; sign-out here and there; back-channel
 * logout. The user's session at the provider comes along, for refresh tokens that are bound to it
 * (`refreshTokens: { boundToIdpSession: true }`). Needs `openid-client` 6 and a session middleware ahead of it.
 *
 * ```ts
 * const idp = oidcSignIn(aat, { url: 'https://shop.example.com/sign-in', issuer, clientId, clientSecret })
 * app.use('/sign-in', idp.router)
 * const { resolveUser, signInUrl } = idp
 * app.use('/oauth/authorize', authorizeEndpoint(aat, { resolveUser, signInUrl }))
 * ```
 * @throws ConfigurationError that lists everything that is wrong with the options
 */
export function oidcSignIn(aat: Aat, options: OidcSignInOptions): SignIn {
  const parts = partsOf(aat, 'oidcSignIn')
  const settings = readOidcOptions(options)
  const { clock, random } = parts
  const { url, issuer, scope } = settings
  const provider = createOidcProvider(settings, clock)
  // By provider, and by what we are there: what came back from one must not be redeemed at another (RFC 9700 §4.4).
  const appSession = createAppSession(parts, `oidcSignIn(${issuer} ${settings.clientId})`)

  async function start(req: Request, res: Response): Promise<void> {
    const { returnTo, prompt, maxAge, acrValues, loginHint } = readWishes(readQuery(req))
    const { openid, configuration } = await provider.client()
    const [state, nonce, verifier] = [randomId(random), randomId(random), randomId(random, 32)]
    const address = openid.buildAuthorizationUrl(configuration, {
      redirect_uri: `${url}/callback`,
      scope,
      state,
      nonce,
      code_challenge: sha256(verifier),
      code_challenge_method: 'S256',
      ...(prompt.length > 0 && { prompt: prompt.join(' ') }),
      max_age: String(maxAge ?? ANY_AGE),
      ...(acrValues.length > 0 && { acr_values: acrValues.join(' ') }),
      ...(loginHint !== undefined && { login_hint: loginHint }),
    })
    await appSession.begin(req, {
      id: state,
      returnTo,
      startedAt: clock(),
      secrets: {
        nonce,
        verifier,
        ...(prompt.includes('login') && { asked: 'login' }),
        ...(maxAge !== undefined && { maxAge: String(maxAge) }),
      },
    })
    redirect(res, address.href)
  }

  async function callback(req: Request, res: Response): Promise<void> {
    const query = readQuery(req)
    const [state] = query.get('state') ?? []
    const pending = state === undefined ? undefined : appSession.pending(req, state)
    if (pending?.secrets.nonce === undefined)
      throw new OAuthError(
        'invalid_request',
        'this sign-in is over: it was finished before, took too long, or began in another browser',
      )
    const signedInAt = clock()
    let signIn: KeptSignIn
    try {
      signIn = await signInOf(await redeem(query, pending), pending, settings, parts, signedInAt)
      await appSession.takeNote(req, signIn.user.idpSession, signIn.user.signedInAt)
    } catch (error) {
      // Where somebody was away the user may load the page again.
      if (!(error instanceof OAuthError && error.status === 503)) appSession.take(req, pending.id)
      throw error
    }
    appSession.take(req, pending.id)
    await appSession.signIn(req, signIn)
    redirect(res, pending.returnTo)
  }

  /** Redeems the code: `state`, `iss` (RFC 9207), `nonce`, and all of the ID token are checked by openid-client. */
  async function redeem(query: Parameters, { id, startedAt, secrets }: PendingSignIn): Promise<Redeemed> {
    let asked = false
    const { openid, configuration } = await provider.client((address, init) => {
      asked = true
      return provider.ask(address, init)
    })
    const { nonce = '', verifier = '', maxAge } = secrets
    const answer = new URL(`${url}/callback`)
    for (const [name, values] of query) for (const value of values) answer.searchParams.append(name, value)
    try {
      const tokens = await openid.authorizationCodeGrant(configuration, answer, {
        expectedState: id,
        expectedNonce: nonce,
        pkceCodeVerifier: verifier,
        idTokenExpected: true,
        // As old as that when it was asked for: the user may have taken a while at the provider since.
        ...(maxAge !== undefined && { maxAge: Number(maxAge) + Math.ceil(clock() - startedAt) }),
      })
      const claims = tokens.claims()
      if (claims === undefined || tokens.id_token === undefined) throw new TypeError('there is no ID token')
      return { claims, idToken: tokens.id_token, tokenResponse: { ...tokens } }
    } catch (error) {
      throw refusalOf(error, asked)
    }
  }

  const router = signInRouter(parts, 'oidcSignIn', settings.rateLimit, {
    '/': { GET: start },
    '/callback': { GET: callback },
    ...oidcSignOutRoutes(parts, settings, provider, appSession),
  })
  return {
    router,
    resolveUser: (req) => appSession.signedIn(req)?.user,
    signInUrl: signInUrlAt(new URL(url).pathname),
  }
}
