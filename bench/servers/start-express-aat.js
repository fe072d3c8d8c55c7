/** The whole suite in a bare Express app, in memory. */

import { randomBytes } from 'node:crypto'
import express from 'express'

/** @type {typeof import('express-aat')} */
const aatModule = await import(new URL('../../dist/index.js', import.meta.url).href)
const { authorizeEndpoint, createAat, dcrEndpoint, introspectionEndpoint } = aatModule
const { denyListEndpoint, requireAat, revocationEndpoint, tokenEndpoint, wellKnown } = aatModule

const issuer = 'http://127.0.0.1:3000'
const aat = createAat({
  issuer,
  secrets: [randomBytes(32).toString('hex')],
  resources: { [`${issuer}/api`]: { scopes: ['read', 'tokens:deny'] } },
  allowInProduction: ['http-issuer', 'memory-stores'],
})
const app = express()
app.use(wellKnown(aat))
app.use('/oauth/authorize', authorizeEndpoint(aat, { resolveUser: () => undefined, signInUrl: '/sign-in' }))
app.use('/oauth/token', tokenEndpoint(aat))
app.use('/oauth/revoke', revocationEndpoint(aat))
app.use('/oauth/introspect', introspectionEndpoint(aat))
app.use('/oauth/register', dcrEndpoint(aat, { allow: 'anyone' }))
app.use('/oauth/deny', denyListEndpoint(aat))
app.get('/', requireAat(aat, { scope: 'read' }), (_req, res) => void res.send('ok'))
await aat.ready()
app.listen(0, '127.0.0.1', () => process.send?.('listening'))
