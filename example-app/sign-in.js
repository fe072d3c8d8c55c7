import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { Router, urlencoded } from 'express'
import { rateLimit } from 'express-rate-limit'
import session from 'express-session'
import { sendPage, signInPage } from './pages.js'

const hash = /** @type {(password: string, salt: Buffer, length: number) => Promise<Buffer>} */ (
  promisify(scrypt)
)

/** The shop's users. A real shop keeps salt and hash in its database; here they are made from known passwords at start. */
const users = new Map(
  await Promise.all([
    makeUser('alice', 'Alice', 'wonderland'),
    makeUser('bob', 'Bob', 'builder'),
    makeUser(
      '',
      'nobody: makes a wrong name take as long as a wrong password',
      randomBytes(16).toString('hex'),
    ),
  ]),
)

/**
 * @param {string} id
 * @param {string} name
 * @param {string} password
 * @returns {Promise<[string, { id: string, name: string, salt: Buffer, hash: Buffer }]>}
 */
async function makeUser(id, name, password) {
  const salt = randomBytes(16)
  return [id, { id, name, salt, hash: await hash(password, salt, 32) }]
}

/**
 * @param {unknown} username
 * @param {unknown} password
 */
async function checkPassword(username, password) {
  const user = users.get(String(username)) ?? users.get('')
  if (user === undefined) return undefined
  const isRight = timingSafeEqual(await hash(String(password).slice(0, 200), user.salt, 32), user.hash)
  return isRight && user.id !== '' ? user : undefined
}

/**
 * Where to go after signing in: a path of this site, whatever the address bar said.
 * @param {unknown} value
 */
export function localPath(value) {
  if (typeof value !== 'string' || !value.startsWith('/') || !URL.canParse(value, 'http://here')) return '/'
  const { origin, pathname, search, hash } = new URL(value, 'http://here')
  // `/.//evil.example` is of this site until its dot is gone.
  return origin === 'http://here' && !pathname.startsWith('//') ? pathname + search + hash : '/'
}

/**
 * @param {object} settings
 * @param {boolean} settings.secure
 * @param {string} [settings.secret] signs the cookie; the same on all instances
 * @param {import('express-session').Store} [settings.store] default in memory
 */
export function sessions({ secure, secret = randomBytes(32).toString('hex'), store }) {
  return session({
    name: 'shop.session',
    secret,
    ...(store && { store }),
    resave: false,
    saveUninitialized: false,
    cookie: { httpOnly: true, sameSite: 'lax', secure },
  })
}

/**
 * Forms are taken from this site's pages only. `SameSite=Lax` keeps other sites out of a session; this keeps them from
 * starting one.
 * @type {import('express').RequestHandler}
 */
export const fromThisSite = (req, res, next) => {
  const site = req.get('sec-fetch-site')
  if (req.method === 'POST' && site !== undefined && site !== 'same-origin' && site !== 'none')
    res.status(403).type('text').send('This form must be sent from the shop itself.\n')
  else next()
}

/** The shop's own sign-in; it knows nothing of OAuth but `return_to`. */
export function signIn() {
  const router = Router()
  router.get('/sign-in', (req, res) => {
    sendPage(req, res, signInPage({ returnTo: localPath(req.query.return_to) }))
  })
  router.post(
    '/sign-in',
    fromThisSite,
    // Counted by each instance for itself, which is enough for a shop that sells nothing.
    rateLimit({ windowMs: 60_000, limit: 60, standardHeaders: 'draft-7', legacyHeaders: false }),
    urlencoded({ extended: false, limit: '10kb' }),
    async (req, res, next) => {
      const { username, password, return_to } = req.body ?? {}
      const returnTo = localPath(return_to)
      const user = await checkPassword(username, password)
      if (user === undefined) {
        res.status(401)
        return sendPage(req, res, signInPage({ returnTo, username: String(username ?? ''), failed: true }))
      }
      // A new session id, so that one that was planted before is worth nothing.
      req.session.regenerate((error) => {
        if (error) return next(error)
        req.session.user = { id: user.id, name: user.name, signedInAt: Math.floor(Date.now() / 1000) }
        req.session.save((failure) => (failure ? next(failure) : res.redirect(303, returnTo)))
      })
    },
  )
  router.post('/sign-out', fromThisSite, (req, res, next) => {
    req.session.destroy((error) => (error ? next(error) : res.clearCookie('shop.session').redirect(303, '/')))
  })
  return router
}
