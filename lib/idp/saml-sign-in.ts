import type { Request, Response } from 'express'
import { type Aat, partsOf } from '../http/aat.ts'
import { readFormBody, readQuery } from '../http/body.ts'
import { redirect } from '../http/headers.ts'
import { formTargetOf, html, sendPage } from '../http/pages/html.ts'
import { sha256 } from '../protocol/digest.ts'
import { readForm } from '../protocol/form.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { createAppSession } from './app-session.ts'
import { type LogoutHint, MAX_FORM, samlCallback } from './saml-callback.ts'
import { type LogoutMessage, readLogout } from './saml-logout.ts'
import { logoutIds, samlMessages } from './saml-messages.ts'
import { readSamlOptions, type SamlSignInOptions } from './saml-options.ts'
import { type MessageKind, readRedirect, redirectUrl } from './saml-redirect.ts'
import { readPosted, samlSignatures } from './saml-signature.ts'
import { MAX_LOGOUT_ELEMENTS, readXml, type XmlElement } from './saml-xml.ts'
import { endsUntil, readWishes, type SignIn, signInUrlAt } from './sign-in.ts'
import { signInRouter } from './sign-in-router.ts'
import { refuseOtherSites, sendSignOutPage } from './sign-out-page.ts'

/**
 * Sign-in at a SAML 2.0 identity provider, by `@node-saml/node-saml` 5 (saml-profiles-2.0-os §4.1 and §4.4): users come back
 * with the session that they have there, and single logout ends what was granted in it. Assertions must be signed, with SHA-256,
 * and answer a request of ours. Mount `router` at the path of `url`, after a session middleware.
 *
 * Sessions are told apart by SessionIndex and NameID; whoever ends one by hand finds their `sid` in `resolveUser`.
 * @throws ConfigurationError
 */
export function samlSignIn(aat: Aat, options: SamlSignInOptions): SignIn {
  const who = 'samlSignIn'
  const parts = partsOf(aat, who)
  const settings = readSamlOptions(options)
  const { clock, random, idpSessions, stores } = parts
  const { url, path, idp, privateKey, clockTolerance, afterSignOut } = settings
  const appSession = createAppSession(parts, who)
  const messages = samlMessages(settings, random)
  const signatures = samlSignatures(settings)
  const ids = logoutIds(privateKey, random)
  const { origin } = new URL(url)

  // ── signing in ───────────────────────────────────────────────────────────────────────────────────────────────

  async function begin(req: Request, res: Response): Promise<void> {
    await signatures.load()
    const { returnTo, prompt, maxAge, acrValues } = readWishes(readQuery(req))
    const now = clock()
    const authTime = appSession.kept(req)?.user.authTime
    // How old its session is, only the provider knows; a user who came back too old once has to sign in anew.
    const isTooOld =
      maxAge !== undefined && (maxAge === 0 || (authTime !== undefined && now - authTime > maxAge))
    const force = prompt.length > 0 || isTooOld
    const id = messages.newId()
    await appSession.begin(req, {
      id,
      returnTo,
      startedAt: now,
      secrets: { idp: idp.entityId, ...(force && { force: 'yes' }) },
    })
    const request = messages.authnRequest(id, now, { force, acrValues })
    redirect(res, redirectUrl(idp.signInUrl, 'SAMLRequest', request, undefined, privateKey))
  }

  async function metadata(_req: Request, res: Response): Promise<void> {
    const bytes = Buffer.from(messages.metadata())
    res.setHeader('Content-Type', 'application/samlmetadata+xml; charset=utf-8')
    res.setHeader('Content-Length', bytes.length)
    res.setHeader('X-Content-Type-Options', 'nosniff')
    res.end(bytes)
  }

  // ── signing out here ─────────────────────────────────────────────────────────────────────────────────────────

  async function askToSignOut(req: Request, res: Response): Promise<void> {
    // The provider leads on to other apps, in redirects that Chromium checks as well.
    const targets = idp.logoutUrl === undefined ? [] : ['https:', formTargetOf(idp.logoutUrl)]
    sendSignOutPage(req, res, `${path}/sign-out`, targets)
  }

  async function signOut(req: Request, res: Response): Promise<void> {
    refuseOtherSites(req, origin)
    const kept = appSession.kept(req)
    if (kept === undefined) return redirect(res, afterSignOut)
    const { issuer, sid } = kept.user.idpSession
    await idpSessions.end({ issuer, sid }, 'sign-out')
    await appSession.signOut(req)
    if (idp.logoutUrl === undefined || issuer !== idp.entityId) return redirect(res, afterSignOut)
    const hint = JSON.parse(kept.logoutHint) as LogoutHint
    const request = messages.logoutRequest(ids.make(), clock(), hint, hint.sessionIndex)
    redirect(res, redirectUrl(idp.logoutUrl, 'SAMLRequest', request, undefined, privateKey))
  }

  // ── single logout (saml-profiles-2.0-os §4.4), without any cookie of ours ────────────────────────────────────

  async function logout(req: Request, res: Response): Promise<void> {
    const { kind, root, relayState } = req.method === 'POST' ? await readPost(req) : readGet(req)
    const message = readLogout(root, settings, clock())
    if ((kind === 'SAMLRequest') !== (message.kind === 'request'))
      throw refuse('a LogoutRequest belongs into SAMLRequest, a LogoutResponse into SAMLResponse')
    if (message.kind === 'request') return endSessions(req, res, message, relayState)
    if (message.inResponseTo === undefined || !ids.isOurs(message.inResponseTo))
      throw refuse('the logout response answers no request of ours')
    if (message.status !== 'urn:oasis:names:tc:SAML:2.0:status:Success')
      throw refuse('you are signed out here, but the identity provider could not sign you out everywhere')
    redirect(res, afterSignOut)
  }

  function readGet(req: Request): { kind: MessageKind; root: XmlElement; relayState: string | undefined } {
    const { xml, ...rest } = readRedirect(req.originalUrl.split('?').slice(1).join('?'), idp.keys)
    return { ...rest, root: readXml(xml, MAX_LOGOUT_ELEMENTS) }
  }

  async function readPost(req: Request): Promise<ReturnType<typeof readGet>> {
    const form = readForm(await readFormBody(req, MAX_FORM))
    const [request, response] = [form.one('SAMLRequest'), form.one('SAMLResponse')]
    if ((request === undefined) === (response === undefined))
      throw refuse('the form must have either a SAMLRequest or a SAMLResponse')
    const message = readPosted(request ?? response ?? '', MAX_LOGOUT_ELEMENTS)
    await signatures.provePosted(message)
    return {
      kind: request === undefined ? 'SAMLResponse' : 'SAMLRequest',
      root: message.root,
      relayState: form.one('RelayState'),
    }
  }

  async function endSessions(
    req: Request,
    res: Response,
    { id, issuedAt, usableUntil, nameId, sids }: LogoutMessage & { kind: 'request' },
    relayState: string | undefined,
  ): Promise<void> {
    const by = 'single logout'
    const issuer = idp.entityId
    // Ended first and claimed then: where a store fails in between, the provider's second attempt does the rest.
    for (const sid of sids) await idpSessions.end({ issuer, sid }, by)
    const notAfter = endsUntil(issuedAt, clockTolerance, parts)
    if (sids.length === 0) await idpSessions.end({ issuer, subject: nameId, notAfter }, by)
    const key = sha256(JSON.stringify(['saml-logout', issuer, id]))
    if ((await stores.replays.claim(key, usableUntil)) === 'seen')
      throw refuse('this logout request was received before')

    const session = appSession.kept(req)?.user.idpSession
    const isOver =
      session?.issuer === issuer &&
      (sids.includes(session.sid) || (sids.length === 0 && session.subject === nameId))
    if (isOver) await appSession.signOut(req)

    if (idp.logoutResponseUrl === undefined)
      return sendPage(req, res, 200, 'Signed out', html`<h1>You are signed out</h1>`)
    const response = messages.logoutResponse(messages.newId(), clock(), id)
    // The specification lets it have 80 bytes (saml-bindings-2.0-os §3.4.3).
    const state = relayState !== undefined && relayState.length <= 1024 ? relayState : undefined
    redirect(res, redirectUrl(idp.logoutResponseUrl, 'SAMLResponse', response, state, privateKey))
  }

  return {
    router: signInRouter(parts, who, settings.rateLimit, {
      '/': { GET: begin },
      '/callback': { POST: samlCallback(parts, settings, appSession, signatures) },
      '/metadata': { GET: metadata },
      '/sign-out': { GET: askToSignOut, POST: signOut },
      '/logout': { GET: logout, POST: logout },
    }),
    resolveUser: (req) => appSession.signedIn(req)?.user,
    signInUrl: signInUrlAt(path === '' ? '/' : path),
  }
}

const refuse = (problem: string) => new OAuthError('invalid_request', problem)
