import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { Provider } from 'oidc-provider'

/**
 * An OpenID provider for trying out and for tests: node-oidc-provider in memory, with a sign-in page, sessions that end when
 * their time is up (`session_expiry`), RP-initiated logout and back-channel logout.
 *
 * @param {object} settings
 * @param {import('oidc-provider').ClientMetadata[]} settings.clients
 * @param {number} [settings.port] default a free one
 * @param {string} [settings.host]
 * @param {Record<string, string>} [settings.accounts] passwords by user name
 * @param {number} [settings.sessionLifetime] seconds from the sign-in
 * @param {(end: number) => unknown} [settings.sessionExpiry] for tests: what ID tokens say of the end, `undefined` for nothing
 * @returns {Promise<{ issuer: string, provider: Provider, close: () => Promise<void> }>}
 */
export async function startOidcProvider({
  clients,
  port = 0,
  host = '127.0.0.1',
  accounts = { alice: 'wonderland', bob: 'builder' },
  sessionLifetime = 8 * 3600,
  sessionExpiry = (end) => end,
}) {
  const server = createServer()
  await /** @type {Promise<void>} */ (
    new Promise((resolve, reject) => server.once('error', reject).listen(port, host, resolve))
  )
  const address = /** @type {import('node:net').AddressInfo} */ (server.address())
  const issuer = `http://${host}:${address.port}`

  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const provider = new Provider(issuer, {
    clients: clients.map((client) => ({
      id_token_signed_response_alg: 'ES256',
      require_auth_time: true,
      ...client,
    })),
    jwks: {
      keys: [
        {
          ...privateKey.export({ format: 'jwk' }),
          kid: randomBytes(6).toString('hex'),
          alg: 'ES256',
          use: 'sig',
        },
      ],
    },
    enabledJWA: { idTokenSigningAlgValues: ['ES256'] },
    cookies: { keys: [randomBytes(32).toString('hex')] },
    claims: {
      openid: ['sub', 'session_expiry'],
      profile: ['name'],
      acr: null,
      auth_time: null,
      iss: null,
      sid: null,
    },
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: { enabled: true, logoutSource, postLogoutSuccessSource },
    },
    ttl: {
      AccessToken: 300,
      AuthorizationCode: 60,
      Grant: sessionLifetime,
      IdToken: 300,
      Interaction: 600,
      // From the sign-in on, however often the session is used.
      Session: (_ctx, session) => Math.max(1, (session.loginTs ?? seconds()) + sessionLifetime - seconds()),
    },
    routes: { end_session: '/sign-out' },
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_ctx, id, token) =>
      Object.hasOwn(accounts, id)
        ? {
            accountId: id,
            claims: () => {
              const since = token !== undefined && 'authTime' in token ? Number(token.authTime) : seconds()
              return { sub: id, name: id, session_expiry: sessionExpiry(since + sessionLifetime) }
            },
          }
        : undefined,
    // Whoever is configured here is trusted: no consent page.
    async loadExistingGrant({ oidc: { client, session } }) {
      const grant = new provider.Grant({ clientId: client?.clientId, accountId: session?.accountId })
      grant.addOIDCScope('openid profile')
      await grant.save()
      return grant
    },
    renderError: (ctx, { error, error_description }) => {
      ctx.type = 'html'
      ctx.body = page(
        'Something is wrong',
        `<p>${escapeHtml(error)}: ${escapeHtml(error_description ?? '')}</p>`,
      )
    },
    // Without the dispatcher that keeps a provider from asking this machine, where its clients are here.
    fetch: (url, { method, headers, body, signal, redirect } = {}) =>
      fetch(url, /** @type {RequestInit} */ ({ method, headers, body, signal, redirect })),
  })

  const answer = provider.callback()
  server.on('request', (req, res) => {
    if (!req.url?.startsWith('/interaction/')) return void answer(req, res)
    interact(provider, accounts, req, res).catch((error) => {
      res.statusCode = 400
      sendHtml(res, page('Something is wrong', `<p>${escapeHtml(error.error_description ?? error.name)}</p>`))
    })
  })

  return {
    issuer,
    provider,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/**
 * The sign-in page, and the answer to it.
 * @param {Provider} provider
 * @param {Record<string, string>} accounts
 * @param {import('node:http').IncomingMessage} req
 * @param {import('node:http').ServerResponse} res
 */
async function interact(provider, accounts, req, res) {
  const { params } = await provider.interactionDetails(req, res)
  if (req.method !== 'POST') return sendHtml(res, signInPage(String(params.login_hint ?? '')))
  const form = await readForm(req)
  if (form.get('cancel') !== null)
    return provider.interactionFinished(req, res, {
      error: 'access_denied',
      error_description: 'the user cancelled the sign-in',
    })
  const user = form.get('username') ?? ''
  if (!Object.hasOwn(accounts, user) || accounts[user] !== form.get('password')) {
    res.statusCode = 401
    return sendHtml(res, signInPage(user, 'The user name or the password is wrong.'))
  }
  // `amr` as RFC 8176 names it.
  await provider.interactionFinished(req, res, { login: { accountId: user, amr: ['pwd'] } })
}

const seconds = () => Math.floor(Date.now() / 1000)

/** @param {import('node:http').IncomingMessage} req */
async function readForm(req) {
  let text = ''
  for await (const chunk of req) {
    text += chunk
    if (text.length > 10_000) throw new Error('the form is too long')
  }
  return new URLSearchParams(text)
}

/**
 * @param {import('node:http').ServerResponse} res
 * @param {string} html
 */
function sendHtml(res, html) {
  res.setHeader('Content-Type', 'text/html; charset=utf-8')
  res.setHeader('Cache-Control', 'no-store')
  res.end(html)
}

/**
 * @param {string} username
 * @param {string} [problem]
 */
function signInPage(username, problem) {
  return page(
    'Sign in to the identity provider',
    `${problem ? `<p role="alert">${escapeHtml(problem)}</p>` : ''}
<form method="post">
<p><label>User name <input name="username" value="${escapeHtml(username)}" autocomplete="username" required autofocus></label></p>
<p><label>Password <input name="password" type="password" autocomplete="current-password" required></label></p>
<p><button type="submit">Sign in</button> <button type="submit" name="cancel" value="1" formnovalidate>Cancel</button></p>
</form>
<p>For trying out: alice / wonderland, or bob / builder.</p>`,
  )
}

/** @type {(ctx: import('oidc-provider').KoaContextWithOIDC, form: string) => void} */
function logoutSource(ctx, form) {
  ctx.body = page(
    'Sign out of the identity provider?',
    `${form}<p><button type="submit" form="op.logoutForm" name="logout" value="yes">Sign out</button>
<button type="submit" form="op.logoutForm">Stay signed in</button></p>`,
  )
}

/** @type {(ctx: import('oidc-provider').KoaContextWithOIDC) => void} */
function postLogoutSuccessSource(ctx) {
  ctx.body = page('You are signed out', '<p>Your session at the identity provider has ended.</p>')
}

/**
 * @param {string} title
 * @param {string} content
 */
function page(title, content) {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><link rel="icon" href="data:,"><title>${title}</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:26rem;margin:3rem auto;padding:0 1rem}label{display:block}input{font:inherit;width:100%}button{font:inherit;padding:.5rem 1rem}</style></head>
<body><main><h1>${title}</h1>
${content}
</main></body>
</html>
`
}

/** @param {string} text */
function escapeHtml(text) {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
