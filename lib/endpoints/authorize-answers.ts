import type { Request, Response } from 'express'
import type { ReturnAddress } from '../authorization/authorization-request.ts'
import { hasConsented } from '../authorization/remembered-consent.ts'
import { readUser, type SignedInUser } from '../authorization/user.ts'
import type { AatParts } from '../http/aat.ts'
import { redirect } from '../http/headers.ts'
import { type ConsentView, sendConsentPage } from '../http/pages/consent-page.ts'
import { type ErrorView, sendErrorPage } from '../http/pages/error-page.ts'
import { formTargetOf, setPageHeaders } from '../http/pages/html.ts'
import type { RateLimitOptions } from '../http/rate-limit.ts'
import { toOAuthError } from '../http/responder.ts'
import type { OAuthError } from '../protocol/oauth-error.ts'
import { isLoopbackUri, redirectHost, withParameters } from '../protocol/redirect-uri.ts'
import type { Client, PendingRequest } from '../stores/ports.ts'

/** What the app's sign-in is asked for. */
export interface SignInContext {
  /** A path of this site: send the user there when they are signed in. */
  readonly returnTo: string
  readonly clientId: string
  /** `login`: ask for credentials even where there is a session; `select_account`: let the user choose. */
  readonly prompt: readonly string[]
  /** The sign-in must not be older than this many seconds. */
  readonly maxAge: number | undefined
  /** One of these authentication context classes is needed (RFC 9470). */
  readonly acrValues: readonly string[]
  readonly loginHint: string | undefined
}

/** Where users sign in, and the pages that they see. */
export interface AuthorizeEndpointOptions {
  /** Who is signed in to the app in this request; `undefined` for nobody, or for one who has not finished signing in. */
  resolveUser: (
    req: Request,
  ) => SignedInUser | undefined | null | false | Promise<SignedInUser | undefined | null | false>
  /** The app's sign-in page: a URL, to which `return_to` is added, or a function that makes the URL. */
  signInUrl: string | ((context: SignInContext, req: Request) => string | Promise<string>)
  /** A consent page of the app's own, instead of the built-in one; strict headers are set before it is called. */
  renderConsent?: ((view: ConsentView, req: Request, res: Response) => void | Promise<void>) | undefined
  /** An error page of the app's own. */
  renderError?: ((view: ErrorView, req: Request, res: Response) => void | Promise<void>) | undefined
  /** Requests from one address (default 3,000 in 60 seconds). */
  rateLimit?: RateLimitOptions | false | undefined
}

/** The callbacks of the app as they were given. */
interface AppPages extends Pick<AuthorizeEndpointOptions, 'resolveUser' | 'signInUrl'> {
  readonly renderConsent: AuthorizeEndpointOptions['renderConsent'] | undefined
  readonly renderError: AuthorizeEndpointOptions['renderError'] | undefined
}

/** What the authorization endpoint can answer; its steps choose. Nothing in here changes what is stored. */
export function authorizeAnswers(parts: AatParts, settings: AppPages, consentPath: string) {
  const { issuer, clock, pendingRequests, stores, resources, idpSessions, longestIdpSession } = parts
  async function showError(req: Request, res: Response, view: ErrorView): Promise<void> {
    if (settings.renderError === undefined) return sendErrorPage(req, res, view)
    setPageHeaders(req, res, [])
    res.status(view.status)
    try {
      await settings.renderError(view, req, res)
    } catch (thrown) {
      toOAuthError(thrown, 'renderError', parts)
      if (!res.headersSent) sendErrorPage(req, res, view)
    }
  }

  /**
   * Sends an error to the client. Not by itself, though, where a stranger registered the redirect URI and the user has never
   * dealt with it: that would make this server an open redirector (RFC 9700 §4.11.2).
   */
  async function sendErrorToClient(
    req: Request,
    res: Response,
    address: ReturnAddress,
    error: OAuthError,
    userActed: boolean,
  ): Promise<void> {
    const url = withParameters(address.redirectUri, {
      error: error.code,
      error_description: error.message,
      state: address.state,
      iss: issuer,
    })
    if (userActed || address.client.origin === 'configuration' || isLoopbackUri(address.redirectUri))
      return redirect(res, url)
    const { user } = await currentUser(req, address.client).catch(() => ({ user: undefined }))
    const consent = user && (await stores.consents.read(user.subject, address.client.id))
    if (hasConsented(address.client, address.redirectUri, consent)) return redirect(res, url)
    await showError(req, res, {
      status: error.status === 503 ? 503 : 400,
      code: error.code,
      description: error.message,
      returnTo: { url, host: redirectHost(address.redirectUri) },
    })
  }

  function sendCode(res: Response, request: Omit<PendingRequest, 'browser'>, code: string): void {
    redirect(res, withParameters(request.redirectUri, { code, state: request.state, iss: issuer }))
  }

  /** Who is signed in: nobody whose session at the identity provider was ended, or is over where that bounds the client. */
  async function currentUser(
    req: Request,
    client: Client,
  ): Promise<{ user?: SignedInUser | undefined; sessionIsOver: boolean }> {
    const user = readUser(await settings.resolveUser(req), clock(), longestIdpSession)
    if (user?.idpSession === undefined) return { user, sessionIsOver: false }
    const isBound = parts.refreshPolicyOf(client).idpSession !== undefined
    const began = user.signedInAt ?? user.authTime
    const isOver = isBound
      ? idpSessions.isOver(user.idpSession, began)
      : idpSessions.isEnded(user.idpSession, began)
    return isOver ? { sessionIsOver: true } : { user, sessionIsOver: false }
  }

  async function sendToSignIn(
    req: Request,
    res: Response,
    request: Omit<PendingRequest, 'browser'>,
    handle: string,
  ): Promise<void> {
    const { clientId, prompt, maxAge, acrValues, loginHint } = request
    const returnTo = `${consentPath}?request=${handle}`
    const { signInUrl } = settings
    const url =
      typeof signInUrl === 'string'
        ? withParameters(signInUrl, { return_to: returnTo })
        : await signInUrl({ returnTo, clientId, prompt, maxAge, acrValues, loginHint }, req)
    redirect(res, url)
  }

  async function sendConsent(
    req: Request,
    res: Response,
    request: PendingRequest,
    client: Client,
    user: SignedInUser,
    handle: string,
  ): Promise<void> {
    const view = consentView(request, client, user, handle)
    if (settings.renderConsent === undefined) return sendConsentPage(req, res, view)
    setPageHeaders(req, res, [formTargetOf(request.redirectUri)])
    await settings.renderConsent(view, req, res)
  }

  function consentView(
    request: PendingRequest,
    client: Client,
    user: SignedInUser,
    handle: string,
  ): ConsentView {
    const publisher = client.origin === 'document' ? new URL(client.id).host : undefined
    const asked = request.resources.flatMap((identifier) => resources.all.get(identifier) ?? [])
    return {
      client: {
        id: client.id,
        name: client.name ?? publisher ?? client.id,
        uri: client.uri,
        policyUri: client.policyUri,
        tosUri: client.tosUri,
        isVouchedFor: client.origin === 'configuration',
        publisher,
      },
      redirectUri: request.redirectUri,
      redirectHost: redirectHost(request.redirectUri),
      isLoopback: isLoopbackUri(request.redirectUri),
      user: { subject: user.subject, displayName: user.displayName },
      resources: asked.map(({ identifier, name }) => ({
        identifier,
        name: name ?? new URL(identifier).host,
      })),
      scopes: request.scope.map((scope) => ({
        scope,
        description: asked.map((resource) => resource.scopes.get(scope)).find((words) => words) ?? '',
      })),
      form: {
        action: 'consent',
        fields: { request: handle, token: pendingRequests.formField(handle, user.subject) },
      },
    }
  }

  return { showError, sendErrorToClient, sendCode, currentUser, sendToSignIn, sendConsent }
}
