/** better-auth with its OAuth provider, mounted as its documentation says, on its adapter for memory: without a database. */

import { randomBytes } from 'node:crypto'

// Installed for the benchmark only, so neither imported statically nor typed.
const [name, adapters, plugins, node, provider] = [
  'better-auth',
  'better-auth/adapters/memory',
  'better-auth/plugins',
  'better-auth/node',
  '@better-auth/oauth-provider',
]
const TABLES = ['user', 'session', 'account', 'verification', 'jwks', 'oauthClient', 'oauthConsent']

/** @param {import('../harness/server.js').Context} context @returns {Promise<import('../harness/server.js').Mounted>} */
export async function mount({ app, url }) {
  const { betterAuth } = await import(name)
  const { memoryAdapter } = await import(adapters)
  const { jwt } = await import(plugins)
  const { toNodeHandler } = await import(node)
  const { oauthProvider } = await import(provider)
  const auth = betterAuth({
    baseURL: url,
    secret: randomBytes(32).toString('hex'),
    database: memoryAdapter(Object.fromEntries(TABLES.map((table) => [table, []]))),
    rateLimit: { enabled: false },
    telemetry: { enabled: false },
    disabledPaths: ['/token'],
    plugins: [
      jwt(),
      oauthProvider({
        ...{ loginPage: '/sign-in', consentPage: '/consent' },
        ...{ allowDynamicClientRegistration: true, allowUnauthenticatedClientRegistration: true },
      }),
    ],
  })
  app.all('/api/auth/{*rest}', toNodeHandler(auth))
  return { path: '/api/auth/oauth2/register' }
}
