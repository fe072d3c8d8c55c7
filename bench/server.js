/**
 * The server under load, in a process of its own: one Express app with every route that is measured. Says `{ url }` when it
 * listens, and answers the message 'cpu' with the microseconds of CPU that it has used so far.
 */

import { randomBytes } from 'node:crypto'
import express from 'express'
import { createLocalJWKSet, jwtVerify } from 'jose'

/** @type {typeof import('express-aat')} */
const { authorizeEndpoint, createAat, getAat, requireAat, tokenEndpoint, wellKnown } = await import(
  new URL('../dist/index.js', import.meta.url).href
)
/** @type {typeof import('../lib/http/body.ts')} */
const { readFormBody } = await import(new URL('../dist/http/body.js', import.meta.url).href)

const app = express()
const server = app.listen(0, '127.0.0.1', start)

async function start() {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  const url = `http://127.0.0.1:${address.port}`
  const resource = `${url}/api`
  const aat = createAat({
    issuer: url,
    secrets: [randomBytes(32).toString('hex')],
    resources: { [resource]: { scopes: ['read'] } },
    clients: [
      {
        clientId: 'machine',
        clientSecret: 'the-secret-of-the-benchmark',
        grantTypes: ['client_credentials'],
      },
      { clientId: 'app', redirectUris: ['https://app.example/cb'], firstParty: true },
    ],
  })
  app.use(wellKnown(aat))
  app.use(
    '/oauth/authorize',
    authorizeEndpoint(aat, {
      resolveUser: () => ({ subject: 'user', authTime: Math.floor(Date.now() / 1000) }),
      signInUrl: '/',
      rateLimit: false,
    }),
  )
  app.use('/oauth/token', tokenEndpoint(aat))

  const answer = { orders: [{ id: 1, item: 'a thing', amount: 3 }] }
  app.get('/open', (_req, res) => {
    res.json(answer)
  })
  app.get('/guarded', requireAat(aat, { scope: 'read' }), (req, res) => {
    getAat(req)
    res.json(answer)
  })
  // Like the built-in reader of the token endpoint, and an answer of the size of a token response.
  app.post('/form', async (req, res) => {
    const form = await readFormBody(req)
    res.json({ fields: form.size, text: 'x'.repeat(600) })
  })
  await aat.ready()

  const jwks = /** @type {import('jose').JSONWebKeySet} */ (
    await (await fetch(`${url}/.well-known/jwks.json`)).json()
  )
  app.get('/jose', joseGuard(url, resource, jwks), (_req, res) => {
    res.json(answer)
  })
  process.send?.({ url })
}

/**
 * The peer of the guard: what one writes by hand with jose.
 * @param {string} issuer
 * @param {string} audience
 * @param {import('jose').JSONWebKeySet} jwks
 * @returns {express.RequestHandler}
 */
function joseGuard(issuer, audience, jwks) {
  const keys = createLocalJWKSet(jwks)
  return async (req, res, next) => {
    const token = /^Bearer (.+)$/i.exec(req.headers.authorization ?? '')?.[1]
    try {
      const { payload } = await jwtVerify(token ?? '', keys, { issuer, audience, typ: 'at+jwt' })
      if (!`${payload.scope}`.split(' ').includes('read')) throw new Error('scope')
      next()
    } catch {
      res.sendStatus(401)
    }
  }
}

process.on('message', () => {
  const { user, system } = process.cpuUsage()
  process.send?.({ cpu: user + system })
})
process.on('disconnect', () => process.exit())
