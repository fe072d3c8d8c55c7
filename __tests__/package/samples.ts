import { makeCertificate } from '../../example-app/idp/certificate.js'

/** What runs in the user's project, after the imports of the module system under test. */
const APP = `
async function main() {
  const aat = createAat({
    issuer: 'http://127.0.0.1:3000',
    resources: { 'http://127.0.0.1:3000/api': { scopes: ['read'] } },
  })
  const app = express()
  app.use(wellKnown(aat))
  app.use('/token', tokenEndpoint(aat))
  app.get('/api', requireAat(aat, { scope: 'read' }), (_req, res) => { res.json({ ok: true }) })
  await aat.ready()
  const server = app.listen(0, '127.0.0.1')
  await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject))
  const base = 'http://127.0.0.1:' + server.address().port
  const metadata = await fetch(base + '/.well-known/oauth-authorization-server')
  const refused = await fetch(base + '/api')
  const report = {
    express: expressVersion,
    metadata: { status: metadata.status, type: metadata.headers.get('content-type'), body: await metadata.json() },
    refused: { status: refused.status, challenge: refused.headers.get('www-authenticate') },
  }
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await aat.close()
  console.log(JSON.stringify(report))
}
main().catch((error) => { console.error(error); process.exitCode = 1 })
`

export const ESM = `
import { readFileSync } from 'node:fs'
import express from 'express'
import { createAat, requireAat, tokenEndpoint, wellKnown } from 'express-aat'
const expressVersion = JSON.parse(readFileSync('node_modules/express/package.json', 'utf8')).version
${APP}`

export const CJS = `
'use strict'
const express = require('express')
const { createAat, requireAat, tokenEndpoint, wellKnown } = require('express-aat')
const expressVersion = require('express/package.json').version
require('express-aat/package.json')
${APP}`

export const TYPES = `
import express, { type Express, type RequestHandler } from 'express'
import { type AatEvent, createAat, getAat, requireAat, tokenEndpoint, wellKnown } from 'express-aat'

const aat = createAat({
  issuer: 'http://127.0.0.1:3000',
  secrets: [process.env.AAT_SECRET],
  resources: { 'http://127.0.0.1:3000/api': { scopes: ['read'] } },
})
const guard: RequestHandler = requireAat(aat, { scope: 'read' })

interface Tenant {
  tenant: string
}
const tenantGuard: RequestHandler = requireAat<Tenant>(aat, {
  readClaims: ({ sub, tenant }) => {
    // @ts-expect-error: a custom claim is unknown until it is looked at
    const unread: string = tenant
    return { tenant: typeof tenant === 'string' ? tenant : sub + unread }
  },
})
// The guard leaves the types of the route's own parameters alone.
express().get('/orders/:id', requireAat(aat, { scope: 'read' }), (req, res) => {
  const id: string = req.params.id
  res.json(id)
})
const allOf: readonly string[] = ['read']
requireAat(aat, { scope: allOf, maxAge: undefined })
// @ts-expect-error: what readClaims returns is what was promised
requireAat<Tenant>(aat, { readClaims: () => ({ tenant: 1 }) })

export const app: Express = express()
app.use(wellKnown(aat))
app.use('/token', tokenEndpoint(aat))
app.get('/api', guard, (req, res) => {
  const { subject, scopes, claims } = getAat(req)
  const id: string = subject + scopes.join() + claims.jti
  // @ts-expect-error: a claim that nobody reads is not typed
  claims.tenant
  res.json({ id })
})
app.get('/tenant', tenantGuard, (req, res) => {
  const tenant: string = getAat<Tenant>(req).claims.tenant
  // @ts-expect-error: what the guard found is not to be changed
  getAat(req).subject = tenant
  res.json({ tenant })
})

export const stop: () => void = aat.on('token.issued', (event) => {
  const jti: string = event.jti
  // @ts-expect-error: not of this kind of event
  event.kid
  console.log(event.name, event.clientId, jti)
})
aat.on('key.activated', ({ kid, alg }) => console.log(kid, alg))
aat.on('*', (event: AatEvent) => {
  if (event.name === 'token.issued') console.log(event.jti)
})
// @ts-expect-error: there is no such event
aat.on('token.stolen', () => {})

export async function close(): Promise<void> {
  await aat.ready()
  await aat.close()
}

// @ts-expect-error: no option may be left out
createAat({})
`

/** The type check of a strict project; `skipLibCheck` is off so that the package's own types count. */
export const TSCONFIG = {
  compilerOptions: {
    target: 'es2023',
    lib: ['es2023'],
    module: 'nodenext',
    types: ['node'],
    strict: true,
    noEmit: true,
    skipLibCheck: false,
  },
  include: ['*.mts', '*.cts'],
}

const REDIS_APP = `
function fakeClient() {
  const client = { isCluster: false, options: {}, on() {}, disconnect() {}, callBuffer() {}, duplicate: () => client }
  return client
}
async function main() {
  const stores = redisStores(fakeClient())
  const report = { kind: stores.kind, hasIoredis: await import('ioredis').then(() => true, () => false) }
  await stores.close()
  console.log(JSON.stringify(report))
}
main().catch((error) => { console.error(error); process.exitCode = 1 })
`

export const REDIS_ESM = `import { redisStores } from 'express-aat/redis'\n${REDIS_APP}`
export const REDIS_CJS = `'use strict'\nconst { redisStores } = require('express-aat/redis')\n${REDIS_APP}`

export const REDIS_TYPES = `
import { createAat, type Stores } from 'express-aat'
import { redisStores, type RedisStoresOptions } from 'express-aat/redis'
import { Cluster, Redis } from 'ioredis'

const options: RedisStoresOptions = { prefix: 'shop:', deadline: 300, replicas: 1 }
const single: Stores = redisStores(new Redis('redis://127.0.0.1:6379', { lazyConnect: true }), options)
export const many: Stores = redisStores(new Cluster([{ host: '127.0.0.1', port: 7000 }]))
export const aat = createAat({
  issuer: 'http://127.0.0.1:3000',
  resources: { 'http://127.0.0.1:3000/api': { scopes: ['read'] } },
  stores: single,
})
// @ts-expect-error: no client of ioredis
redisStores({})
// @ts-expect-error: there is no such option
redisStores(new Redis(), { keyPrefix: 'shop:' })
`

/** What a sign-in says in a project that lacks its package, or has it. */
const IDP_APP = `
async function main() {
  const aat = createAat({
    issuer: 'http://127.0.0.1:3000',
    resources: { 'http://127.0.0.1:3000/api': { scopes: ['read'] } },
  })
  const faults = []
  aat.on('fault', ({ error }) => { faults.push(error.message) })
  const at = (name) => 'http://127.0.0.1:3000/' + name
  const idp = { entityId: 'urn:idp', signInUrl: 'https://idp.example/sso', certificates: ${JSON.stringify(makeCertificate('The provider').certificate)} }
  const oidc = oidcSignIn(aat, { url: at('oidc'), issuer: 'https://127.0.0.1:1', clientId: 'app' })
  const saml = samlSignIn(aat, { url: at('saml'), idp })
  const app = express()
  app.use((req, _res, next) => { req.session = {}; next() })
  app.use('/oidc', oidc.router)
  app.use('/saml', saml.router)
  const server = app.listen(0, '127.0.0.1')
  await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject))
  const base = 'http://127.0.0.1:' + server.address().port
  const statuses = []
  for (const path of ['/oidc', '/saml']) statuses.push((await fetch(base + path, { redirect: 'manual' })).status)
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await aat.close()
  console.log(JSON.stringify({ statuses, faults }))
}
main().catch((error) => { console.error(error); process.exitCode = 1 })
`

export const IDP_ESM = `
import express from 'express'
import { createAat } from 'express-aat'
import { oidcSignIn, samlSignIn } from 'express-aat/idp'
${IDP_APP}`

export const IDP_CJS = `
'use strict'
const express = require('express')
const { createAat } = require('express-aat')
const { oidcSignIn, samlSignIn } = require('express-aat/idp')
${IDP_APP}`

export const IDP_TYPES = `
import { authorizeEndpoint, createAat } from 'express-aat'
import { type OidcSignInOptions, oidcSignIn, type SignIn, samlSignIn } from 'express-aat/idp'

const aat = createAat({
  issuer: 'http://127.0.0.1:3000',
  resources: { 'http://127.0.0.1:3000/api': { scopes: ['read'] } },
  refreshTokens: { boundToIdpSession: true },
})
const options: OidcSignInOptions = {
  url: 'http://127.0.0.1:3000/sign-in',
  issuer: 'https://idp.example',
  clientId: 'app',
  sessionEnd: ({ claims }) => Number(claims.exp),
}
const { resolveUser, signInUrl, router }: SignIn = oidcSignIn(aat, options)
export const endpoint = authorizeEndpoint(aat, { resolveUser, signInUrl })
export const both = [router]
// @ts-expect-error: there is no such option
oidcSignIn(aat, { ...options, clientID: 'app' })
// @ts-expect-error: the provider is missing
samlSignIn(aat, { url: options.url })
`

const SERVER_APP = `
async function main() {
  const app = express()
  app.get('/', (_req, res) => { res.json({ ok: true }) })
  const server = createServer(app).listen(0, '127.0.0.1')
  await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject))
  const answer = await fetch('http://127.0.0.1:' + server.address().port)
  console.log(JSON.stringify({ status: answer.status, body: await answer.json(), secure: typeof createSecureServer }))
  server.closeAllConnections()
  server.close()
}
main().catch((error) => { console.error(error); process.exitCode = 1 })
`

export const SERVER_ESM = `
import express from 'express'
import { createSecureServer, createServer } from 'express-aat/server'
${SERVER_APP}`

export const SERVER_CJS = `
'use strict'
const express = require('express')
const { createSecureServer, createServer } = require('express-aat/server')
${SERVER_APP}`

export const SERVER_TYPES = `
import type { Server } from 'node:http'
import type { Server as SecureServer } from 'node:https'
import express, { Router } from 'express'
import { createSecureServer, createServer, type ServerOptions } from 'express-aat/server'

const options: ServerOptions = { keepAliveTimeout: 65_000 }
export const server: Server = createServer(express(), options)
export const secure: SecureServer = createSecureServer(express(), { key: '', cert: '' })
// @ts-expect-error: a router is not an application
createServer(Router())
// @ts-expect-error: the messages are the app's
createServer(express(), { IncomingMessage: class {} })
`
