import { join } from 'node:path'
import express, { json, Router, urlencoded } from 'express'
import { getAat, requireAat } from 'express-aat'
import helmet from 'helmet'
import { addAuth } from './auth.js'
import { mcp } from './mcp.js'
import { sharedParts } from './on-redis.js'
import { WrongOrder } from './orders.js'
import { errorPage, homePage, productsPage, sendPage } from './pages.js'
import { fromThisSite, signIn } from './sign-in.js'

/** For trying out; a shop that others can reach sets SHOP_BACKEND_SECRET. */
export const DEMO_BACKEND_SECRET = 'demo-backend-secret-not-for-production'

/**
 * The whole shop, not listening yet.
 * @param {object} settings
 * @param {string} settings.issuer the shop's origin, as its users and clients see it
 * @param {string} [settings.secret] seals the signing keys and tags refresh tokens; default one that is made up at start
 * @param {string} [settings.backendSecret] of the client `shop-backend`
 * @param {import('./on-redis.js').RedisClient} [settings.redis] what several instances share; default in memory, for one
 * @param {boolean} [settings.demo] serve what the guided tour on the home page needs (rotating the signing key)
 * @param {(aat: import('express-aat').Aat) => import('express-aat/idp').SignIn} [settings.idp] signs users in at an identity provider
 * @param {string[]} [settings.instances] names of those that run side by side for show (cluster.js)
 */
export function createShop({
  issuer,
  secret,
  backendSecret = DEMO_BACKEND_SECRET,
  redis,
  demo = true,
  idp,
  instances = [],
}) {
  const app = express()
  const { sessions, orders } = sharedParts({ redis, secret, secure: issuer.startsWith('https:') })
  app.disable('x-powered-by')
  app.set('trust proxy', 'loopback')

  // ── the shop as it was ──────────────────────────────────────────────────────────────────────────────────────
  app.use(pageHeaders)
  app.use(express.static(join(import.meta.dirname, 'public'), { index: false }))
  const probes = Router() // before the sessions: they answer also while Redis does not
  app.use(probes)
  app.use(sessions)
  app.get(['/', '/products', '/sign-in'], sameOriginAs(issuer))

  // ── and now it is an authorization server ───────────────────────────────────────────────────────────────────
  const { aat, sso } = addAuth(app, { issuer, secret, backendSecret, redis, idp })
  addProbes(probes, aat)
  app.use('/api/orders', ordersApi(aat, orders))
  app.use('/mcp', mcp(aat, orders))

  app.use(whoIsIt(sso))

  // ── pages ───────────────────────────────────────────────────────────────────────────────────────────────────
  if (sso === undefined) app.use(signIn())
  const demoSecret = backendSecret === DEMO_BACKEND_SECRET ? backendSecret : undefined
  app.get('/', (req, res) => sendPage(req, res, homePage({ issuer, demoSecret, demo, instances })))
  app.get('/products', async (req, res) => {
    const { user } = res.locals
    sendPage(req, res, productsPage({ orders: user && (await orders.of(user.id)) }))
  })
  app.post('/orders', fromThisSite, urlencoded({ extended: false, limit: '10kb' }), async (req, res) => {
    const { user } = res.locals
    if (user === undefined) return res.redirect(303, '/sign-in?return_to=/products')
    await orders.place(user.id, { product: req.body?.product })
    res.redirect(303, '/products')
  })
  if (demo) app.use('/demo', demoRoutes(aat, instances.length > 0))

  app.use((req, res) => {
    res.status(404)
    sendPage(req, res, errorPage('There is nothing here', 'This address leads nowhere.'))
  })
  app.use(onError)

  return { app, aat, orders }
}

/**
 * Who is looking at the pages: `res.locals.user`, and where to sign out.
 * @param {import('express-aat/idp').SignIn | undefined} sso
 * @returns {import('express').RequestHandler}
 */
function whoIsIt(sso) {
  return (req, res, next) => {
    if (sso === undefined) res.locals.user = req.session.user
    else {
      const user = sso.resolveUser(req)
      res.locals.user = user && { id: user.subject, name: user.displayName ?? user.subject }
      res.locals.signOut = '/sign-in/sign-out'
    }
    next()
  }
}

/**
 * For whoever runs the shop: restart what is not alive, send nothing to what is not ready. Both answer from memory.
 * @param {Router} probes
 * @param {import('express-aat').Aat} aat
 */
function addProbes(probes, aat) {
  probes.get('/live', (_req, res) => {
    res.set('Cache-Control', 'no-store').json({ alive: true })
  })
  probes.get('/ready', (_req, res) => {
    const health = aat.health()
    res.status(health.ready ? 200 : 503)
    res.set('Cache-Control', 'no-store').json(health)
  })
}

/**
 * The API of the shop: the same orders as on its pages, for programs with an access token.
 * @param {import('express-aat').Aat} aat
 * @param {import('./orders.js').Orders} orders
 */
function ordersApi(aat, orders) {
  const router = Router()
  router.get('/', requireAat(aat, { scope: 'orders:read' }), async (req, res) => {
    const { principal, subject } = getAat(req)
    // A client of its own (client credentials) stands for the shop, not for a user: it sees everybody's.
    res.json({ orders: await (principal === 'client' ? orders.all() : orders.of(subject)) })
  })
  router.post(
    '/',
    requireAat(aat, { scope: 'orders:write', principal: 'user' }),
    json({ limit: '10kb' }),
    async (req, res) => {
      res.status(201).json(await orders.place(getAat(req).subject, req.body))
    },
  )
  router.all('/', (_req, res) => {
    res.status(405).set('Allow', 'GET, POST').json({ error: 'method_not_allowed' })
  })
  return router
}

/**
 * What an operator would do from a terminal, for the tour on the home page. Signed-in users only, never in production; where
 * several instances run for show, also anybody on this machine, so that a line in a terminal is enough.
 * @param {import('express-aat').Aat} aat
 * @param {boolean} isForShow
 */
function demoRoutes(aat, isForShow) {
  const { host } = new URL(aat.issuer)
  const isFromHere = (/** @type {import('express').Request} */ req) =>
    isForShow && ['127.0.0.1', '::1'].includes(req.ip ?? '') && req.get('host') === host
  const ring = () => ({ keys: aat.keys.status().keys.map(({ kid, alg, state }) => ({ kid, alg, state })) })
  const router = Router()
  router.use((req, res, next) => {
    res.set('Cache-Control', 'no-store')
    if (res.locals.user === undefined && !isFromHere(req))
      res.status(401).json({ error: 'sign in to the shop first' })
    else next()
  })
  router.get('/ring', (_req, res) => void res.json(ring()))
  router.post('/rotate', fromThisSite, async (_req, res) => {
    await aat.keys.rotate({ immediately: true })
    res.json(ring())
  })
  return router
}

const formTargets = ['https:', 'http://127.0.0.1:*', 'http://localhost:*']
const pageHeaders = helmet({
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      'default-src': ["'none'"],
      'script-src': ["'self'"],
      'style-src': ["'self'"],
      'img-src': ["'self'"],
      'connect-src': ["'self'"],
      // Signing in may end at an OAuth client that the user agreed to before: Chromium checks each redirect after a form.
      'form-action': ["'self'", ...formTargets],
      'frame-ancestors': ["'none'"],
      'base-uri': ["'none'"],
    },
  },
  xFrameOptions: { action: 'deny' },
  strictTransportSecurity: false,
})

/**
 * `localhost` and `127.0.0.1` are one machine and two sites, with cookies of their own: visitors belong on the issuer's.
 * @param {string} issuer
 * @returns {import('express').RequestHandler}
 */
function sameOriginAs(issuer) {
  const { hostname, port } = new URL(issuer)
  return (req, res, next) => {
    if (hostname === '127.0.0.1' && req.get('host') === `localhost:${port}`)
      res.redirect(307, issuer + req.originalUrl)
    else next()
  }
}

/** @type {import('express').ErrorRequestHandler} */
const onError = (error, req, res, next) => {
  if (res.headersSent) return next(error)
  const isKnown = (error.status >= 400 && error.status < 500) || error.status === 503
  const status = error instanceof WrongOrder ? 400 : isKnown ? error.status : 500
  if (status === 500) console.error(error)
  const description =
    error instanceof WrongOrder
      ? error.message
      : status === 500
        ? 'something went wrong'
        : status === 503
          ? 'the shop cannot reach its data at the moment'
          : 'the body could not be read'
  res.status(status)
  if (status === 503) res.set('Retry-After', '1')
  if (req.accepts(['html', 'json']) === 'html' && !/^\/(?:api|mcp|demo)\b/.test(req.originalUrl))
    return sendPage(req, res, errorPage('That did not work', `Sorry: ${description}.`))
  const code =
    status === 500 ? 'server_error' : status === 503 ? 'temporarily_unavailable' : 'invalid_request'
  res.json({ error: code, error_description: description })
}
