import { type Profile, Strategy, type VerifiedCallback } from '@node-saml/passport-saml'
import { type Express, urlencoded } from 'express'
import { type Aat, authorizeEndpoint, type IdpSession } from 'express-aat'
import passport from 'passport'

interface User {
  id: string
  signedInAt: number
  idpSession: IdpSession
}

/** `app` has its session middleware, `provider` is what the provider's people told you. */
export function addPassportSaml(app: Express, aat: Aat, provider: ConstructorParameters<typeof Strategy>[0]) {
  function verify(profile: Profile | null, done: VerifiedCallback) {
    const { nameID: id, issuer, sessionIndex, getAssertion } = profile as Required<Profile>
    // What was signed, as xml2js reads it: the profile has the SessionIndex, but not when the session ends.
    const assertion = getAssertion() as { Assertion: { AuthnStatement: { $: Record<string, string> }[] } }
    const end = assertion.Assertion.AuthnStatement[0]?.$.SessionNotOnOrAfter
    // A SessionIndex need not be unique among users (SAML Core section 2.7.2).
    const session: IdpSession = { issuer, sid: JSON.stringify([sessionIndex, id]), subject: id }
    const idpSession = end === undefined ? session : { ...session, expiresAt: Date.parse(end) / 1000 }
    const user: User = { id, signedInAt: Math.floor(Date.now() / 1000), idpSession }
    done(null, user as unknown as Record<string, unknown>)
  }
  // The strategy takes a LogoutRequest by redirect that nobody signed, so nothing is ended by it.
  const refuseLogout = (_: Profile | null, done: VerifiedCallback) => done(new Error('no single logout here'))
  passport.use(new Strategy(provider, verify, refuseLogout) as unknown as passport.Strategy)
  passport.serializeUser((user, done) => done(null, user))
  passport.deserializeUser((user: Express.User, done) => done(null, user))
  app.use(passport.session())

  app.get('/sign-in', (req, res, next) => {
    // It comes back as it was sent, and unsigned.
    const additionalParams = { RelayState: String(req.query.return_to ?? '/') }
    passport.authenticate('saml', { additionalParams } as object)(req, res, next)
  })
  const form = urlencoded({ extended: false, limit: '200kb' })
  app.post('/sign-in/callback', form, passport.authenticate('saml'), (req, res) => {
    const { RelayState: returnTo } = req.body
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
        return user && { ...user, subject: user.id, authTime: user.signedInAt }
      },
    }),
  )
}
