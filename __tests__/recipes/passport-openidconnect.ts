import { randomUUID } from 'node:crypto'
import type { Express } from 'express'
import { type Aat, authorizeEndpoint, type IdpSession } from 'express-aat'
import passport from 'passport'
import OpenIDConnectStrategy from 'passport-openidconnect'

interface User {
  id: string
  authTime: number
  signedInAt: number
  idpSession: IdpSession
}

/** `app` has its session middleware, `provider` is what the provider's people told you. */
export function addPassport(app: Express, aat: Aat, provider: OpenIDConnectStrategy.StrategyOptions) {
  const verify: OpenIDConnectStrategy.VerifyFunction = (
    issuer: string,
    _profile: unknown,
    _context: unknown,
    idToken: string | object,
    done: OpenIDConnectStrategy.VerifyCallback,
  ) => {
    // The strategy has checked these claims, and does not hand on the two that are needed.
    const claims = JSON.parse(Buffer.from(String(idToken).split('.')[1] ?? '', 'base64url').toString())
    const { sub, auth_time: authTime, session_expiry: expiresAt } = claims
    const sid = claims.sid ?? randomUUID() // a provider that ends no sessions need not name them
    const signedInAt = Math.floor(Date.now() / 1000)
    const user: User = {
      id: sub,
      authTime: authTime ?? signedInAt,
      signedInAt,
      idpSession: { issuer, sid, subject: sub, expiresAt },
    }
    done(null, user)
  }
  passport.use(new OpenIDConnectStrategy(provider, verify))
  passport.serializeUser((user, done) => done(null, user))
  passport.deserializeUser((user: Express.User, done) => done(null, user))
  app.use(passport.session())

  app.get('/sign-in', (req, res, next) => {
    const state = { returnTo: req.query.return_to }
    passport.authenticate('openidconnect', { state } as object)(req, res, next)
  })
  app.get('/sign-in/callback', passport.authenticate('openidconnect'), (req, res) => {
    const { returnTo } = (req.authInfo as { state: { returnTo: unknown } }).state
    // Only to pages of this site: anybody can write a link to /sign-in.
    const isHere = typeof returnTo === 'string' && /^\/[\w-]/.test(returnTo)
    res.redirect(303, isHere ? returnTo : '/')
  })

  app.use(
    '/oauth/authorize',
    authorizeEndpoint(aat, {
      signInUrl: '/sign-in',
      resolveUser(req) {
        const user = req.user as User | undefined
        return user && { ...user, subject: user.id }
      },
    }),
  )
}
