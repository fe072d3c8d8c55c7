import type { Request } from 'express'
import type { SignedInUser } from '../authorization/user.ts'
import type { AatParts } from '../http/aat.ts'
import type { IdpSession } from '../protocol/idp-session.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { ConfigurationError } from '../protocol/options.ts'
import type { NumericDate } from '../protocol/time.ts'

/** A sign-in, as the app's own session keeps it. */
export interface KeptSignIn {
  /** The user of the app, with the session at the identity provider; `signedInAt` is by the clock of this server. */
  readonly user: SignedInUser & {
    readonly signedInAt: NumericDate
    readonly idpSession: IdpSession & { readonly subject: string }
  }
  /** What the provider wants to see at sign-out: an ID token, or the NameID as JSON. */
  readonly logoutHint: string
}

/** A sign-in that is under way, as the app's own session keeps it: whatever comes back has to fit. */
export interface PendingSignIn {
  /** What the provider sends back with its answer: `state`, or the id of the SAML request. */
  readonly id: string
  /** A path of this site. */
  readonly returnTo: string
  readonly startedAt: NumericDate
  /** Of the protocol: `nonce`, the PKCE verifier, … */
  readonly secrets: Readonly<Record<string, string>>
}

/** Sign-ins that one browser may have begun and not finished: one for each tab. */
const MAX_PENDING = 5
/** Seconds that a user has at the provider. */
const PENDING_LIFE = 600

/** Seconds by which a session has to be prolonged to be told to all that came from it. */
const WORTH_SAYING = 60

interface Kept {
  signIn?: KeptSignIn
  pending?: PendingSignIn[]
}

/** What session middlewares have in common, and what express-session has more. */
interface Session {
  [key: string]: unknown
  regenerate?(callback: (error?: unknown) => void): unknown
  save?(callback: (error?: unknown) => void): unknown
}

/**
 * What a sign-in keeps in the app's own session (`req.session`): express-session, cookie-session, or anything that is shaped
 * like them. One member of it, by name; nothing else is read or written.
 */
export function createAppSession(parts: AatParts, who: string) {
  const { clock, idpSessions, longestIdpSession } = parts
  const name = `express-aat.${who}`

  function sessionOf(req: Request): Session {
    const { session } = req as { session?: unknown }
    if (typeof session !== 'object' || session === null)
      throw new ConfigurationError(who, [
        'needs sessions: mount a session middleware (express-session, say) ahead of it and of authorizeEndpoint',
      ])
    return session as Session
  }

  function read(req: Request): Kept {
    return (sessionOf(req)[name] ?? {}) as Kept
  }

  function write(req: Request, kept: Kept): void {
    const session = sessionOf(req)
    if (kept.signIn === undefined && (kept.pending ?? []).length === 0) delete session[name]
    else session[name] = kept
  }

  /** A redirect must not overtake the session that it rests on. */
  async function save(req: Request): Promise<void> {
    const session = sessionOf(req)
    if (typeof session.save === 'function') await called((done) => session.save?.(done))
  }

  /** Another session id at each change of who is signed in: one that somebody planted is of no use. */
  async function regenerate(req: Request): Promise<void> {
    const session = sessionOf(req)
    if (typeof session.regenerate === 'function') await called((done) => session.regenerate?.(done))
    else delete session[name]
  }

  function isOver({ user: { idpSession, signedInAt } }: KeptSignIn): boolean {
    // What was said of a session is forgotten after so long.
    return idpSessions.isOver(idpSession, signedInAt) || clock() >= signedInAt + longestIdpSession
  }

  return {
    /** Keeps what a sign-in needs when its user comes back. */
    async begin(req: Request, pending: PendingSignIn): Promise<void> {
      const { signIn, pending: others = [] } = read(req)
      write(req, { ...(signIn && { signIn }), pending: [...others, pending].slice(-MAX_PENDING) })
      await save(req)
    },

    /** The sign-in that an answer belongs to, while it is not too old. Changes nothing. */
    pending(req: Request, id: string): PendingSignIn | undefined {
      const found = read(req).pending?.find((pending) => pending.id === id)
      return found !== undefined && clock() < found.startedAt + PENDING_LIFE ? found : undefined
    },

    /** The same, once: it is removed from the session. */
    take(req: Request, id: string): PendingSignIn | undefined {
      const { signIn, pending = [] } = read(req)
      write(req, { ...(signIn && { signIn }), pending: pending.filter((one) => one.id !== id) })
      const found = pending.find((one) => one.id === id)
      return found !== undefined && clock() < found.startedAt + PENDING_LIFE ? found : undefined
    },

    /** The user is in: a new session, with nothing of the old one but the sign-in and those under way in other tabs. */
    async signIn(req: Request, signIn: KeptSignIn): Promise<void> {
      const { pending = [] } = read(req)
      await regenerate(req)
      write(req, { signIn, pending })
      await save(req)
    },

    /**
     * A request without the browser's cookies must not set one: the new, empty session that a middleware may keep
     * (`saveUninitialized`) would take the place of the one that waits.
     */
    leaveAlone(req: Request): void {
      // Of a session that is in a cookie itself an empty one is not sent; one with something of ours in it is no new one.
      const session = sessionOf(req)
      if (session[name] === undefined && typeof session.regenerate === 'function')
        delete (req as { session?: unknown }).session
    },

    /**
     * What the provider says now of a session's end holds for all that came from it.
     * @throws OAuthError 403 where the session was ended: that is for good, so the user has to begin another
     */
    async takeNote(
      req: Request,
      { issuer, sid, ...session }: IdpSession,
      signedInAt: NumericDate,
    ): Promise<void> {
      const { expiresAt } = session
      const isDead =
        expiresAt === undefined
          ? idpSessions.isOver({ issuer, sid, ...session }, signedInAt)
          : idpSessions.isEnded({ issuer, sid, ...session }, signedInAt)
      if (isDead)
        throw new OAuthError(
          'access_denied',
          'your session at the identity provider was signed out: sign out there as well, then sign in again',
        )
      if (expiresAt === undefined) return
      const before = read(req).signIn?.user.idpSession
      const said = before?.issuer === issuer && before.sid === sid ? before.expiresAt : expiresAt
      const known = idpSessions.current({ issuer, sid, expiresAt: said }).expiresAt ?? expiresAt
      // Each word is remembered by every instance: one more minute is not worth one.
      if (expiresAt < known || expiresAt >= known + WORTH_SAYING)
        await idpSessions.update({ issuer, sid, expiresAt })
    },

    /** Who is signed in; nobody whose session at the provider is over. */
    signedIn(req: Request): KeptSignIn | undefined {
      const { signIn } = read(req)
      return signIn === undefined || isOver(signIn) ? undefined : signIn
    },

    /** The sign-in that the session holds, whatever became of it. */
    kept: (req: Request): KeptSignIn | undefined => read(req).signIn,

    async signOut(req: Request): Promise<void> {
      await regenerate(req)
      await save(req)
    },
  }
}

export type AppSession = ReturnType<typeof createAppSession>

function called(verb: (done: (error?: unknown) => void) => unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    verb((error) => {
      if (error === undefined || error === null) resolve()
      else reject(error)
    })
  })
}
