import { randomBytes } from 'node:crypto'
import express from 'express'
import samlify from 'samlify'
import { makeCertificate } from './certificate.js'
import { escapeHtml, sendForm, sendPage, sendSignInPage } from './saml-pages.js'

/**
 * @typedef {{ user: string, index: string, authnInstant: number, endsAt: number }} Session times in seconds since the epoch
 * @typedef {{ id: string, acr: string, relayState: string | undefined }} SignInRequest
 * @typedef {import('./saml-pages.js').Posted} Posted
 */

// A CommonJS package, of which Node finds some names only by its default export.
const { Constants, IdentityProvider, SamlLib, ServiceProvider, setSchemaValidator } = samlify

const nameIdFormat = Constants.namespace.format.persistent
const password = 'urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport'

const responseTemplate = `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="{ID}" Version="2.0" IssueInstant="{Now}" Destination="{Callback}" InResponseTo="{InResponseTo}"><saml:Issuer>{Issuer}</saml:Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status><saml:Assertion ID="{AssertionID}" Version="2.0" IssueInstant="{Now}"><saml:Issuer>{Issuer}</saml:Issuer><saml:Subject><saml:NameID Format="{NameIDFormat}">{NameID}</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData NotOnOrAfter="{Soon}" Recipient="{Callback}" InResponseTo="{InResponseTo}"/></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="{Now}" NotOnOrAfter="{Soon}"><saml:AudienceRestriction><saml:Audience>{Audience}</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement AuthnInstant="{AuthnInstant}" SessionIndex="{SessionIndex}" SessionNotOnOrAfter="{SessionEnd}"><saml:AuthnContext><saml:AuthnContextClassRef>{Acr}</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement><saml:Attribute Name="displayName"><saml:AttributeValue>{DisplayName}</saml:AttributeValue></saml:Attribute></saml:AttributeStatement></saml:Assertion></samlp:Response>`

/**
 * A SAML 2.0 identity provider for trying out and for tests, by samlify: a sign-in page, sessions that end when their time is up
 * (`SessionNotOnOrAfter`), and single logout in both directions. Its keys are made at start; it forgets everything at its end.
 *
 * @param {object} settings
 * @param {{ entityId: string, callbackUrl: string, logoutUrl: string, certificate: string }} settings.serviceProvider
 * @param {number} [settings.port] default a free one
 * @param {string} [settings.host]
 * @param {Record<string, string>} [settings.accounts] passwords by user name
 * @param {number} [settings.sessionLifetime] seconds from the sign-in
 * @param {() => number} [settings.clock] seconds since the epoch
 * @param {{ privateKey: string, certificate: string }} [settings.keys] default made at start
 * @param {(xml: string) => string} [settings.alter] for tests: changes messages before they are signed
 * @param {string} [settings.signatureAlgorithm] for tests
 */
export async function startSamlProvider({
  serviceProvider,
  port = 0,
  host = '127.0.0.1',
  accounts = { alice: 'wonderland', bob: 'builder' },
  sessionLifetime = 8 * 3600,
  clock = () => Date.now() / 1000,
  keys = makeCertificate('SAML identity provider of the example'),
  alter = (xml) => xml,
  signatureAlgorithm = Constants.algorithms.signature.RSA_SHA256,
}) {
  const app = express()
  const server = app.listen(port, host)
  await /** @type {Promise<void>} */ (
    new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject))
  )
  const base = `http://${host}:${/** @type {import('node:net').AddressInfo} */ (server.address()).port}`

  // Messages are read by name and checked by signature; a schema needs a native or a Java validator.
  setSchemaValidator({ validate: async () => 'not checked' })
  const idp = IdentityProvider({
    entityID: `${base}/metadata`,
    signingCert: keys.certificate,
    privateKey: keys.privateKey,
    requestSignatureAlgorithm: signatureAlgorithm,
    nameIDFormat: [nameIdFormat],
    wantAuthnRequestsSigned: true,
    wantLogoutRequestSigned: true,
    wantLogoutResponseSigned: true,
    singleSignOnService: [{ Binding: Constants.namespace.binding.redirect, Location: `${base}/sso` }],
    singleLogoutService: [{ Binding: Constants.namespace.binding.redirect, Location: `${base}/slo` }],
    loginResponseTemplate: { context: responseTemplate, attributes: [] },
  })
  const sp = ServiceProvider({
    entityID: serviceProvider.entityId,
    signingCert: serviceProvider.certificate,
    authnRequestsSigned: true,
    wantAssertionsSigned: true,
    wantLogoutRequestSigned: true,
    wantLogoutResponseSigned: true,
    assertionConsumerService: [
      { Binding: Constants.namespace.binding.post, Location: serviceProvider.callbackUrl },
    ],
    singleLogoutService: ['redirect', 'post'].map((binding) => ({
      Binding: Constants.namespace.binding[/** @type {'redirect' | 'post'} */ (binding)],
      Location: serviceProvider.logoutUrl,
    })),
  })

  /** @type {Map<string, Session>} by the value of the cookie */
  const sessions = new Map()
  /** @type {Map<string, SignInRequest>} sign-ins whose user is at the form */
  const waiting = new Map()
  const newId = () => `_${randomBytes(16).toString('hex')}`
  const instant = (/** @type {number} */ seconds) => new Date(seconds * 1000).toISOString()

  /** @param {Record<string, string>} tags */
  const fill = (tags) => (/** @type {string} */ template) => {
    const id = newId()
    const all = {
      ID: id,
      Now: instant(clock()),
      IssueInstant: instant(clock()),
      Issuer: `${base}/metadata`,
      ...tags,
    }
    return { id, context: alter(SamlLib.replaceTagsByValue(template, all)) }
  }

  /** @param {express.Request} req */
  function cookieOf(req) {
    return /(?:^|; )idp\.session=([\w-]+)/.exec(req.headers.cookie ?? '')?.[1] ?? ''
  }

  /** @param {express.Request} req */
  function sessionOf(req) {
    const session = sessions.get(cookieOf(req))
    return session !== undefined && clock() < session.endsAt ? session : undefined
  }

  /** What samlify verifies a signature over: the query as it came, without the signature. @param {express.Request} req */
  function signedQuery(req) {
    const query = req.originalUrl.split('?')[1] ?? ''
    return { query: req.query, octetString: query.replace(/&Signature=[^&]*$/, '') }
  }

  /** @param {express.Response} res @param {SignInRequest} request @param {Session} session */
  async function sendAssertion(res, request, session) {
    const now = clock()
    const posted = await idp.createLoginResponse(
      sp,
      { extract: {} },
      'post',
      {},
      {
        customTagReplacement: fill({
          AssertionID: newId(),
          Soon: instant(now + 300),
          Callback: serviceProvider.callbackUrl,
          Audience: serviceProvider.entityId,
          InResponseTo: request.id,
          NameIDFormat: nameIdFormat,
          NameID: session.user,
          AuthnInstant: instant(session.authnInstant),
          SessionIndex: session.index,
          SessionEnd: instant(session.endsAt),
          Acr: request.acr,
          DisplayName: `${session.user[0]?.toUpperCase()}${session.user.slice(1)}`,
        }),
      },
    )
    sendForm(res, { .../** @type {Posted} */ (posted), type: 'SAMLResponse', relayState: request.relayState })
  }

  // ── single sign-on ───────────────────────────────────────────────────────────────────────────────────────────

  app.get('/sso', async (req, res) => {
    const { samlContent, extract } = await idp.parseLoginRequest(sp, 'redirect', signedQuery(req))
    const request = {
      id: String(extract.request?.id),
      acr: /AuthnContextClassRef>([^<]+)</.exec(samlContent)?.[1] ?? password,
      relayState: typeof req.query.RelayState === 'string' ? req.query.RelayState : undefined,
    }
    const session = sessionOf(req)
    if (session !== undefined && !/ForceAuthn="true"/.test(samlContent))
      return sendAssertion(res, request, session)
    const handle = newId()
    waiting.set(handle, request)
    sendSignInPage(res, handle)
  })

  app.post('/sso', express.urlencoded({ extended: false, limit: '10kb' }), async (req, res) => {
    const { handle, username, password } = req.body ?? {}
    const request = waiting.get(handle)
    if (request === undefined) return sendPage(res, 400, '<h1>Begin again at the shop</h1>')
    if (!Object.hasOwn(accounts, username) || accounts[username] !== password)
      return sendSignInPage(res, handle, 'That is not the name or the password.')
    waiting.delete(handle)
    const now = clock()
    const known = sessionOf(req)
    const session = {
      user: username,
      index: known !== undefined && known.user === username ? known.index : newId(),
      authnInstant: now,
      endsAt: now + sessionLifetime,
    }
    const cookie = randomBytes(16).toString('base64url')
    sessions.delete(cookieOf(req))
    sessions.set(cookie, session)
    res.setHeader('Set-Cookie', `idp.session=${cookie}; Path=/; HttpOnly; SameSite=Lax`)
    await sendAssertion(res, request, session)
  })

  // ── single logout ────────────────────────────────────────────────────────────────────────────────────────────

  app.get('/slo', async (req, res) => {
    const relayState = typeof req.query.RelayState === 'string' ? req.query.RelayState : ''
    if (req.query.SAMLResponse !== undefined) {
      await idp.parseLogoutResponse(sp, 'redirect', signedQuery(req))
      return sendPage(res, 200, '<h1>You are signed out everywhere</h1>')
    }
    const { extract } = await idp.parseLogoutRequest(sp, 'redirect', signedQuery(req))
    for (const [cookie, { user, index }] of sessions)
      if (user === extract.nameID && (extract.sessionIndex ?? index) === index) sessions.delete(cookie)
    const { context } = idp.createLogoutResponse(sp, { extract: {} }, 'redirect', {
      relayState,
      customTagReplacement: fill({
        Destination: serviceProvider.logoutUrl,
        InResponseTo: String(extract.request?.id),
        StatusCode: Constants.StatusCode.Success,
      }),
    })
    res.redirect(303, context)
  })

  app.get('/sign-out', (_req, res) => {
    sendPage(
      res,
      200,
      `<h1>Sign out everywhere?</h1>
<p>The shop is told through this browser, in one of the two ways that SAML has for it.</p>
<form method="post" action="/sign-out"><button name="binding" value="redirect">By redirect</button> <button name="binding" value="post">By a form</button></form>`,
    )
  })

  app.post('/sign-out', express.urlencoded({ extended: false, limit: '10kb' }), (req, res) => {
    const session = sessions.get(cookieOf(req))
    if (session === undefined) return sendPage(res, 200, '<h1>You are not signed in</h1>')
    sessions.delete(cookieOf(req))
    const request = logoutRequest(session, req.body?.binding === 'post' ? 'post' : 'redirect', 'signed-out')
    if (typeof request === 'string') res.redirect(303, request)
    else sendForm(res, request)
  })

  /**
   * Tells the service provider that a session is over.
   * @param {Pick<Session, 'user' | 'index'>} session
   * @param {'redirect' | 'post'} binding
   * @param {string} [relayState]
   * @returns {string | Posted} an address, or a form
   */
  function logoutRequest({ user, index }, binding, relayState = '') {
    const request = idp.createLogoutRequest(
      sp,
      binding,
      {},
      {
        relayState,
        customTagReplacement: fill({
          Destination: serviceProvider.logoutUrl,
          NameIDFormat: nameIdFormat,
          NameID: user,
          SessionIndex: index,
        }),
      },
    )
    return binding === 'redirect' ? request.context : /** @type {Posted} */ (request)
  }

  app.use(
    /** @type {express.ErrorRequestHandler} */ (
      (error, _req, res, _next) =>
        sendPage(
          res,
          400,
          `<h1>That request is not one of the shop's</h1><p>${escapeHtml(String(error?.message ?? error))}</p>`,
        )
    ),
  )

  return {
    entityId: `${base}/metadata`,
    signInUrl: `${base}/sso`,
    logoutUrl: `${base}/slo`,
    /** Where users sign out at the provider. */
    signOutUrl: `${base}/sign-out`,
    /** PEM. */
    certificate: keys.certificate,
    /** For tests: who is signed in, and how to end it without a browser. */
    sessions,
    logoutRequest,
    /** @returns {Promise<void>} */
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}
