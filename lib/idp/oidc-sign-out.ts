import type { Request, Response } from 'express'
import type { AatParts } from '../http/aat.ts'
import { readFormBody, readQuery } from '../http/body.ts'
import { redirect, sendJson, setNoStore } from '../http/headers.ts'
import { formTargetOf } from '../http/pages/html.ts'
import { toOAuthError } from '../http/responder.ts'
import { sha256 } from '../protocol/digest.ts'
import { readForm } from '../protocol/form.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { randomId } from '../protocol/random.ts'
import type { AppSession, KeptSignIn } from './app-session.ts'
import { createLogoutTokens } from './oidc-logout-token.ts'
import type { OidcSettings } from './oidc-options.ts'
import type { OidcProvider } from './oidc-provider.ts'
import { endsUntil } from './sign-in.ts'
import type { SignInRoutes } from './sign-in-router.ts'
import { refuseOtherSites, sendSignOutPage } from './sign-out-page.ts'

/** The ways out: begun here (OpenID Connect RP-Initiated Logout 1.0), or told by the provider (Back-Channel Logout 1.0). */
export function oidcSignOutRoutes(
  parts: AatParts,
  settings: OidcSettings,
  provider: OidcProvider,
  appSession: AppSession,
): SignInRoutes {
  const { clock, random, stores, idpSessions } = parts
  const { url, issuer, clientId, clockTolerance, afterSignOut } = settings
  const { origin, pathname } = new URL(`${url}/sign-out`)
  const readLogoutToken = createLogoutTokens(provider, settings, clock)

  async function showSignOut(req: Request, res: Response): Promise<void> {
    // Without the provider the user can still be signed out here.
    const server = await provider.metadata().catch(() => undefined)
    const endpoint = server?.end_session_endpoint
    sendSignOutPage(req, res, pathname, endpoint === undefined ? [] : [formTargetOf(endpoint)])
  }

  async function signOut(req: Request, res: Response): Promise<void> {
    refuseOtherSites(req, origin)
    const kept = appSession.kept(req)
    if (kept === undefined) return redirect(res, afterSignOut)
    // What is bound to the session ends first: where that fails the user is still signed in, and tries again.
    await idpSessions.end({ issuer, sid: kept.user.idpSession.sid }, 'sign-out')
    await appSession.signOut(req)
    let target = afterSignOut
    try {
      target = (await endSessionUrl(req, kept)) ?? afterSignOut
    } catch (error) {
      // Signed out here; that the provider could not be told is for the operator.
      toOAuthError(error, 'oidcSignIn', parts)
    }
    redirect(res, target)
  }

  /** RP-Initiated Logout 1.0 §2; `undefined` where the provider has no such endpoint. */
  async function endSessionUrl(req: Request, { logoutHint }: KeptSignIn): Promise<string | undefined> {
    const { openid, configuration, server } = await provider.client()
    if (server.end_session_endpoint === undefined) return undefined
    const state = randomId(random)
    const address = openid.buildEndSessionUrl(configuration, {
      client_id: clientId,
      post_logout_redirect_uri: `${url}/signed-out`,
      state,
      ...(logoutHint !== '' && { id_token_hint: logoutHint }),
    })
    await appSession.begin(req, {
      id: state,
      returnTo: afterSignOut,
      startedAt: clock(),
      secrets: { step: 'sign-out' },
    })
    return address.href
  }

  async function signedOut(req: Request, res: Response): Promise<void> {
    const state = readForm(readQuery(req)).one('state')
    const pending = state === undefined ? undefined : appSession.pending(req, state)
    if (pending === undefined || pending.secrets.step !== 'sign-out')
      throw new OAuthError(
        'invalid_request',
        'this sign-out was finished before, or began in another browser',
      )
    appSession.take(req, pending.id)
    redirect(res, pending.returnTo)
  }

  /** §2.5 to §2.8. */
  async function backchannelLogout(req: Request, res: Response): Promise<void> {
    const token = readForm(await readFormBody(req)).one('logout_token')
    if (token === undefined) throw new OAuthError('invalid_request', 'logout_token is missing')
    const { sid, subject, jti, issuedAt, goodUntil } = await readLogoutToken(token)
    // The session ends before the token is used up: where the store fails between the two, the provider tries again. Both
    // are idempotent, and by user only what began before the token was made, so a replay ends nothing newer.
    if (sid !== undefined) await idpSessions.end({ issuer, sid }, 'back-channel logout')
    // Where the provider does not say that its ID tokens name the session too, those that have no name are meant as well (§2.1).
    const { backchannel_logout_session_supported: namesSessions } = await provider.metadata()
    if (subject !== undefined && (sid === undefined || namesSessions !== true)) {
      const notAfter = endsUntil(issuedAt, clockTolerance, parts)
      await idpSessions.end({ issuer, subject, notAfter }, 'back-channel logout')
    }
    const key = sha256(JSON.stringify(['logout token', issuer, clientId, jti]))
    if ((await stores.replays.claim(key, goodUntil)) === 'seen')
      throw new OAuthError('invalid_request', 'the logout token was used before')
    setNoStore(res)
    sendJson(res, 200, {})
  }

  return {
    '/sign-out': { GET: showSignOut, POST: signOut },
    '/signed-out': { GET: signedOut },
    '/backchannel-logout': { POST: backchannelLogout, face: 'json' },
  }
}
