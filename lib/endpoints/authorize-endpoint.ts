import { type Request, type RequestHandler, type Response, Router } from 'express'
import {
  type ReturnAddress,
  readAuthorizationRequest,
  readReturnAddress,
} from '../authorization/authorization-request.ts'
import { nextStep } from '../authorization/next-step.ts'
import { type Aat, partsOf } from '../http/aat.ts'
import { readFormBody, readQuery } from '../http/body.ts'
import { clientAddress } from '../http/client-address.ts'
import { browserCookie } from '../http/cookies.ts'
import { redirect } from '../http/headers.ts'
import { limitRequests, rateLimitOption } from '../http/rate-limit.ts'
import { errorHandler, toOAuthError } from '../http/responder.ts'
import { type Parameters, readForm } from '../protocol/form.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { callback, either, optional, readOptions, text } from '../protocol/options.ts'
import { coversScope } from '../protocol/scope.ts'
import type { Client, PendingRequest } from '../stores/ports.ts'
import { type AuthorizeEndpointOptions, authorizeAnswers } from './authorize-answers.ts'
import { warnOfOtherMount } from './json-endpoint.ts'

/**
 * The authorization endpoint (RFC 6749 §3.1): code with PKCE S256 only, `iss` on every answer (RFC 9207). The request waits on
 * the server while the user signs in and decides; the browser has a single-use handle and a cookie.
 * Mount it where `endpoints.authorization` says: `app.use('/oauth/authorize', authorizeEndpoint(aat, …))`.
 */
export function authorizeEndpoint(aat: Aat, options: AuthorizeEndpointOptions): Router {
  const parts = partsOf(aat, 'authorizeEndpoint')
  const settings = readOptions('authorizeEndpoint', options, {
    resolveUser: callback<AuthorizeEndpointOptions['resolveUser']>(),
    signInUrl: either(
      (value) => typeof value === 'function',
      callback<Exclude<AuthorizeEndpointOptions['signInUrl'], string>>(),
      text({ pattern: /^(?:\/(?!\/)|https?:\/\/)/, what: 'a path like /sign-in, a URL, or a function' }),
    ),
    renderConsent: optional(callback<NonNullable<AuthorizeEndpointOptions['renderConsent']>>()),
    renderError: optional(callback<NonNullable<AuthorizeEndpointOptions['renderError']>>()),
    rateLimit: rateLimitOption(60, 3000),
  })
  const { issuer, clock, emit, pendingRequests, stores, resources } = parts
  const cookie = browserCookie(issuer)
  const consentPath = `${new URL(parts.endpoints.authorization).pathname}/consent`
  const { showError, sendErrorToClient, sendCode, currentUser, sendToSignIn, sendConsent } = authorizeAnswers(
    parts,
    settings,
    consentPath,
  )
  parts.mounted.add('authorization')

  /** The browser's own secret: the cookie it has, or a new one. */
  function browserOf(req: Request, res: Response): string {
    const known = cookie.read(req)
    if (known !== undefined) return known
    const fresh = pendingRequests.newBrowser()
    cookie.write(res, fresh)
    return fresh
  }

  // ── GET or POST /: a client sends its user ───────────────────────────────────────────────────────────────────

  async function begin(req: Request, res: Response): Promise<void> {
    const parameters = req.method === 'POST' ? await readFormBody(req) : readQuery(req)
    const source = clientAddress(req)
    const findClient = (id: string) => parts.registry.find(id, source)
    const address = await readReturnAddress(parameters, { ...parts.authorizationRules, findClient })
    try {
      await proceed(req, res, parameters, address)
    } catch (thrown) {
      if (res.headersSent) throw thrown
      await sendErrorToClient(req, res, address, toOAuthError(thrown, 'authorization', parts), false)
    }
  }

  async function proceed(
    req: Request,
    res: Response,
    parameters: Parameters,
    address: ReturnAddress,
  ): Promise<void> {
    const now = clock()
    const request = {
      ...readAuthorizationRequest(parameters, address, parts.authorizationRules),
      createdAt: now,
    }
    const { user } = await currentUser(req, address.client)
    const consent = user && (await stores.consents.read(user.subject, address.client.id))
    const next = nextStep(request, address.client, user, consent, now, false)
    if (next.step === 'code' && user !== undefined)
      return sendCode(res, request, await parts.authorize(request, user, request.scope, next.by, now))
    if (request.prompt.includes('none')) {
      throw next.step === 'sign-in'
        ? new OAuthError(
            next.error,
            next.error === 'login_required'
              ? 'the user is not signed in, or not recently enough'
              : 'the user has not signed in in one of the ways of acr_values',
          )
        : new OAuthError('consent_required', 'the user has not agreed to this yet')
    }
    const handle = await pendingRequests.start(request, browserOf(req, res))
    if (next.step === 'sign-in') return sendToSignIn(req, res, request, handle)
    redirect(res, `${consentPath}?request=${handle}`)
  }

  // ── GET and POST /consent: the user is back, and decides ─────────────────────────────────────────────────────

  const sessionOver = () =>
    new OAuthError('login_required', 'the session at the identity provider has ended: sign out there first')
  const gone = () =>
    new OAuthError(
      'invalid_request',
      'this sign-in is over: it was finished before, took too long, or began in another browser',
    )

  async function readPending(
    req: Request,
    handle: string | undefined,
  ): Promise<{ request: PendingRequest; client: Client; handle: string }> {
    const request = handle === undefined ? undefined : await pendingRequests.read(handle, cookie.read(req))
    if (handle === undefined || request === undefined) throw gone()
    const client = await parts.registry.find(request.clientId)
    if (client === undefined)
      throw new OAuthError('invalid_client', 'this app is no longer registered here', { status: 400 })
    return { request, client, handle }
  }

  function addressOf(request: PendingRequest, client: Client): ReturnAddress {
    return {
      client,
      redirectUri: request.redirectUri,
      redirectUriRequired: request.redirectUriRequired,
      state: request.state,
    }
  }

  async function showConsent(req: Request, res: Response): Promise<void> {
    const { request, client, handle } = await readPending(req, readForm(readQuery(req)).one('request'))
    const now = clock()
    const { user, sessionIsOver } = await currentUser(req, client)
    // The user was just sent to sign in. A provider that goes on with a session that was ended would be asked for ever.
    if (sessionIsOver) {
      await pendingRequests.take(handle, cookie.read(req))
      return sendErrorToClient(req, res, addressOf(request, client), sessionOver(), false)
    }
    const consent = user && (await stores.consents.read(user.subject, client.id))
    const next = nextStep(request, client, user, consent, now, true)
    if (next.step === 'sign-in' && next.error === 'unmet_authentication_requirements') {
      await pendingRequests.take(handle, cookie.read(req))
      return sendErrorToClient(
        req,
        res,
        addressOf(request, client),
        new OAuthError(next.error, 'the user did not sign in in one of the ways of acr_values'),
        // A sign-in page may send the user straight back: that is nothing that the user did.
        false,
      )
    }
    if (next.step === 'sign-in' || user === undefined) return sendToSignIn(req, res, request, handle)
    if (next.step === 'code') {
      if ((await pendingRequests.take(handle, cookie.read(req))) === undefined) throw gone()
      return sendCode(res, request, await parts.authorize(request, user, request.scope, next.by, now))
    }
    await sendConsent(req, res, request, client, user, handle)
  }

  async function decide(req: Request, res: Response): Promise<void> {
    const site = req.headers['sec-fetch-site']
    if (site !== undefined && site !== 'same-origin')
      throw new OAuthError('invalid_request', 'the decision must come from the page that asked for it')
    const parameters = await readFormBody(req)
    for (const [name, values] of parameters) {
      if (
        !['request', 'token', 'decision', 'scope'].includes(name) ||
        (values.length > 1 && name !== 'scope')
      )
        throw new OAuthError('invalid_request', 'the form is not the one that was shown')
    }
    const decision = parameters.get('decision')?.[0]
    const { request, client, handle } = await readPending(req, parameters.get('request')?.[0])
    const now = clock()
    const { user } = await currentUser(req, client)
    if (user === undefined) return sendToSignIn(req, res, request, handle)
    if (!pendingRequests.isFormField(parameters.get('token')?.[0] ?? '', handle, user.subject))
      throw new OAuthError('invalid_request', 'the form was shown to another user; go back and reload it')
    if (decision !== 'allow' && decision !== 'deny')
      throw new OAuthError('invalid_request', 'the form is not the one that was shown')
    const scope = parameters.get('scope') ?? []
    if (!coversScope(request.scope, scope))
      throw new OAuthError('invalid_request', 'the form is not the one that was shown')
    const next = nextStep(request, client, user, undefined, now, true)
    if (next.step === 'sign-in') return sendToSignIn(req, res, request, handle)

    // From here on the request is used up: a second submission of the same form finds nothing.
    if ((await pendingRequests.take(handle, cookie.read(req))) === undefined) throw gone()
    if (decision === 'deny' || scope.length === 0) {
      emit('authorization.denied', { clientId: client.id, subject: user.subject })
      return sendErrorToClient(
        req,
        res,
        addressOf(request, client),
        new OAuthError('access_denied', 'the user did not allow it'),
        true,
      )
    }
    // In the order of the request; a resource of whose scopes nothing is left is not granted either.
    const granted = request.scope.filter((token) => scope.includes(token))
    const useful = request.resources.filter((identifier) =>
      granted.some((token) => resources.all.get(identifier)?.scopes.has(token)),
    )
    const code = await parts.authorize({ ...request, resources: useful }, user, granted, 'user', now)
    sendCode(res, request, code)
  }

  // ── the router ───────────────────────────────────────────────────────────────────────────────────────────────

  const routes: Record<string, Record<string, (req: Request, res: Response) => Promise<void>>> = {
    '/': { GET: begin, POST: begin },
    '/consent': { GET: showConsent, POST: decide },
  }
  const checkMount = warnOfOtherMount(parts, 'authorization')

  const dispatch: RequestHandler = (req, res, next) => {
    checkMount(req)
    const route = routes[req.path === '' ? '/' : req.path]
    const handler = route?.[req.method]
    if (handler !== undefined) {
      // Not by `next`: to Express, `undefined` and 'router' are no errors, and a hook may throw anything.
      handler(req, res).catch((thrown: unknown) => onError(thrown, req, res, next))
      return
    }
    const error = new OAuthError('invalid_request', 'there is nothing here for this address and method', {
      status: route === undefined ? 404 : 405,
    })
    if (route !== undefined) res.setHeader('Allow', Object.keys(route).join(', '))
    next(error)
  }

  const onError = errorHandler('authorization', parts, (req, res, error) => {
    if (error.retryAfter !== undefined) res.setHeader('Retry-After', Math.ceil(error.retryAfter))
    return showError(req, res, { status: error.status, code: error.code, description: error.message })
  })
  const router = Router()
  router.use(limitRequests('authorization', settings.rateLimit, parts), dispatch, onError)
  return router
}
