import { type IdpSession, idpSessionKey, idpSubjectKey } from '../protocol/idp-session.ts'
import type { Clock, NumericDate } from '../protocol/time.ts'
import type { Grant, RefreshPolicy, RevocationEntry } from '../stores/ports.ts'
import { keysBehind } from './pages.ts'
import { isEpoch, merge, saysAll } from './revocation-entry.ts'

/** The id of the epoch of everybody. */
export const EVERYTHING = '*'

/** What revocations are asked about: the claims of an access token, or a family. */
export interface Revocable {
  readonly jti?: string | undefined
  readonly grantId?: string | undefined
  readonly clientId: string
  readonly subject: string
  readonly kid?: string | undefined
  /** The session at the identity provider that bounds it, and that provider's user, as `idp-session.ts` names them. */
  readonly session?: string | undefined
  /** Of a grant: that it was ended matters, not that its time is over, which may be said otherwise again. */
  readonly endedSession?: string | undefined
  readonly idpSubject?: string | undefined
  readonly sessionBegan?: NumericDate | undefined
  readonly issuedAt: NumericDate
  /** When the grant that it descends from was given; absent where there is none. */
  readonly grantedAt?: NumericDate | undefined
}

/** The claims of an access token that a revocation can name. */
export interface RevocableClaims {
  readonly jti: string
  readonly client_id: string
  readonly sub: string
  readonly iat: NumericDate
  readonly grant_id?: string
  readonly grant_iat?: NumericDate
  readonly sid?: string
  readonly idp_sub?: string
  readonly idp_iat?: NumericDate
}

/** What a grant is to revocations, with its session at the identity provider where that bounds it. */
export function revocableGrant(grant: Grant, policy: Pick<RefreshPolicy, 'idpSession'>): Revocable {
  const { id, clientId, subject, createdAt, idpSession, sessionBegan } = grant
  const { session: endedSession, idpSubject } = idpSessionKeys(idpSession)
  return {
    grantId: id,
    clientId,
    subject,
    issuedAt: createdAt,
    grantedAt: createdAt,
    ...(policy.idpSession !== undefined && { endedSession, idpSubject, sessionBegan }),
  }
}

/** The names under which revocations know a session and its user. */
export function idpSessionKeys(session: IdpSession | undefined): { session?: string; idpSubject?: string } {
  if (session === undefined) return {}
  const { issuer, subject } = session
  return {
    session: idpSessionKey(session),
    ...(subject !== undefined && { idpSubject: idpSubjectKey({ issuer, subject }) }),
  }
}

/** A verified access token, with what was found out of it last. */
export interface RevocableToken {
  readonly claims: RevocableClaims
  readonly kid: string | undefined
  /** From when on something about it is revoked, if ever, and how much had been learnt then. */
  revokedFrom: NumericDate | undefined
  learnt: number
}

/** What a verified access token is to revocations. @param kid of the key that signed it; an opaque one has none */
function revocableOf(claims: RevocableClaims, kid: string | undefined): Revocable {
  return {
    jti: claims.jti,
    grantId: claims.grant_id,
    clientId: claims.client_id,
    subject: claims.sub,
    kid,
    session: claims.sid,
    idpSubject: claims.idp_sub,
    sessionBegan: claims.idp_iat,
    issuedAt: claims.iat,
    grantedAt: claims.grant_iat,
  }
}

/**
 * Revocations that matter, in memory. Keyed by `jti`, `grant_id` and the like, never by a token's text: one token can have
 * several spellings (ECDSA has a twin signature).
 */
export function createKnownRevocations(clock: Clock) {
  /** Entry by kind and id; `until` for all, `notAfter` for epochs. */
  const entries = new Map<string, RevocationEntry>()
  let trimAt = 1024
  /** Until when a session may be known that ends at another time than was said first. */
  let movedUntil: NumericDate = 0
  /** How often something was learnt. */
  let learnt = 0
  /** Until when there may be a token whose uses are limited. */
  let limitedUntil: NumericDate = 0

  const keyOf = (kind: RevocationEntry['kind'], id: string) => `${kind}:${id}`

  function learn(entry: RevocationEntry): void {
    const key = keyOf(entry.kind, entry.id)
    const merged = merge(entry, entries.get(key))
    entries.set(key, merged)
    learnt++
    if (merged.kind === 'uses') limitedUntil = Math.max(limitedUntil, merged.until)
    if (merged.kind === 'session' && merged.endsAt !== 0) movedUntil = Math.max(movedUntil, merged.until)
    if (entries.size > trimAt) {
      const now = clock()
      for (const [name, { until }] of entries) if (now >= until) entries.delete(name)
      trimAt = Math.max(1024, entries.size * 2)
    }
  }

  function holdsKey(key: string, now: NumericDate): boolean {
    return now < (entries.get(key)?.until ?? 0)
  }

  function isBefore(epoch: string, since: NumericDate, now: NumericDate): boolean {
    return holdsKey(epoch, now) && since <= (entries.get(epoch)?.notAfter ?? 0)
  }

  function sessionEnd(session: string, now: NumericDate): NumericDate | undefined {
    const entry = entries.get(keyOf('session', session))
    return now < (entry?.until ?? 0) ? entry?.endsAt : undefined
  }

  /** From when on something about this is revoked: the end of its session, any moment that is past, or never. */
  function revokedFrom(revocable: Revocable): NumericDate {
    const { jti, grantId, clientId, subject, kid, session, idpSubject, issuedAt, grantedAt } = revocable
    const { endedSession, sessionBegan } = revocable
    if (entries.size === 0) return Number.POSITIVE_INFINITY
    const now = clock()
    // A token of a user's grant is as old as the grant: a refresh that an instance answers while it does not know of the
    // epoch yet makes a young token of an old grant. Tokens carry whole seconds, so one of the same second counts as
    // issued before: it is fetched anew, not believed.
    const since = grantedAt ?? issuedAt
    const isRevoked =
      (jti !== undefined && holdsKey(keyOf('jti', jti), now)) ||
      (grantId !== undefined && holdsKey(keyOf('grant', grantId), now)) ||
      (kid !== undefined && holdsKey(keyOf('kid', kid), now)) ||
      (endedSession !== undefined && sessionEnd(endedSession, now) === 0) ||
      (idpSubject !== undefined && isBefore(keyOf('idp-subject', idpSubject), sessionBegan ?? since, now)) ||
      isBefore(keyOf('client', clientId), since, now) ||
      isBefore(keyOf('subject', subject), since, now) ||
      isBefore(keyOf('all', EVERYTHING), since, now)
    if (isRevoked) return Number.NEGATIVE_INFINITY
    return (session === undefined ? undefined : sessionEnd(session, now)) ?? Number.POSITIVE_INFINITY
  }

  return {
    learn,

    /** Was this said before, and is nothing added by saying it again? Epochs move on each time. */
    saysEnough(kind: RevocationEntry['kind'], id: string, atMost: number | undefined): boolean {
      const now = clock()
      if (isEpoch(kind)) return false
      if (kind === 'session') return sessionEnd(id, now) === 0
      const key = keyOf(kind, id)
      return holdsKey(key, now) && (kind !== 'uses' || (entries.get(key)?.atMost ?? 0) <= (atMost ?? 0))
    },

    /** May there be a token whose uses are limited? */
    hasLimits: (): boolean => limitedUntil !== 0 && clock() < limitedUntil,

    /** How often a token may be used, where that is limited. */
    limitOf(jti: string): RevocationEntry | undefined {
      const entry = entries.get(keyOf('uses', jti))
      return entry !== undefined && clock() < entry.until ? entry : undefined
    },

    /** May there be a session that ends at another time than was said first? */
    hasMovedSessions: (): boolean => clock() < movedUntil,

    /** What is said now of a session is said after what is known of it, also where the clock that dates it jumped back. */
    saidAfter: (kind: RevocationEntry['kind'], id: string): NumericDate =>
      (entries.get(keyOf(kind, id))?.saidAt ?? -0.001) + 0.001,

    sessionEnd: (session: string): NumericDate | undefined => sessionEnd(session, clock()),

    coversIdpSubject: (key: string | undefined, since: NumericDate): boolean =>
      key !== undefined && isBefore(keyOf('idp-subject', key), since, clock()),

    /** Is anything about this revoked? */
    covers: (revocable: Revocable): boolean => clock() >= revokedFrom(revocable),

    /** Is anything about this token revoked? It is looked up anew only where something was learnt since. */
    isRevoked(token: RevocableToken): boolean {
      if (token.learnt !== learnt) {
        token.learnt = learnt
        const from = revokedFrom(revocableOf(token.claims, token.kid))
        token.revokedFrom = from === Number.POSITIVE_INFINITY ? undefined : from
      }
      return token.revokedFrom !== undefined && clock() >= token.revokedFrom
    },

    /** At most `limit` of what is revoked and still matters, in the order of kind and id, behind one of them. */
    list(after: string, limit: number): RevocationEntry[] {
      const now = clock()
      // A session that only ends at another time is not revoked.
      const isWanted = ({ kind, until, endsAt }: RevocationEntry) =>
        now < until && (kind !== 'session' || endsAt === 0)
      const page = keysBehind(entries, after, limit, isWanted)
      return page.map((key) => entries.get(key) as RevocationEntry)
    },

    /** What matters here and is not, or not for as long, in another. */
    notIn(other: { knows(entry: RevocationEntry): boolean }): RevocationEntry[] {
      const now = clock()
      return [...entries.values()].filter((entry) => now < entry.until && !other.knows(entry))
    },

    knows: (entry: RevocationEntry): boolean => saysAll(entries.get(keyOf(entry.kind, entry.id)), entry),
  }
}
