import type { Clock, NumericDate } from '../protocol/time.ts'
import type { RevocationEntry } from '../stores/ports.ts'

/** The id of the epoch of everybody. */
export const EVERYTHING = '*'

/** What revocations are asked about: the claims of an access token, or a family. */
export interface Revocable {
  readonly jti?: string | undefined
  readonly grantId?: string | undefined
  readonly clientId: string
  readonly subject: string
  readonly kid?: string | undefined
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
}

/** What a verified access token is to revocations. @param kid of the key that signed it */
export function revocableOf(claims: RevocableClaims, kid: string): Revocable {
  return {
    jti: claims.jti,
    grantId: claims.grant_id,
    clientId: claims.client_id,
    subject: claims.sub,
    kid,
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

  const keyOf = (kind: RevocationEntry['kind'], id: string) => `${kind}:${id}`

  function learn(entry: RevocationEntry): void {
    const key = keyOf(entry.kind, entry.id)
    const before = entries.get(key)
    entries.set(key, {
      ...entry,
      until: Math.max(entry.until, before?.until ?? 0),
      ...(entry.notAfter !== undefined && { notAfter: Math.max(entry.notAfter, before?.notAfter ?? 0) }),
    })
    if (entries.size > trimAt) {
      const now = clock()
      for (const [name, { until }] of entries) if (now >= until) entries.delete(name)
      trimAt = Math.max(1024, entries.size * 2)
    }
  }

  function holdsKey(key: string, now: NumericDate): boolean {
    return now < (entries.get(key)?.until ?? 0)
  }

  return {
    learn,

    holds: (kind: RevocationEntry['kind'], id: string): boolean => holdsKey(keyOf(kind, id), clock()),

    /** Is anything about this revoked? */
    covers({ jti, grantId, clientId, subject, kid, issuedAt, grantedAt }: Revocable): boolean {
      if (entries.size === 0) return false
      const now = clock()
      // A token of a user's grant is as old as the grant: a refresh that an instance answers while it does not know of the
      // epoch yet makes a young token of an old grant. Tokens carry whole seconds, so one of the same second counts as
      // issued before: it is fetched anew, not believed.
      const since = grantedAt ?? issuedAt
      const isBefore = (key: string) => holdsKey(key, now) && since <= (entries.get(key)?.notAfter ?? 0)
      return (
        (jti !== undefined && holdsKey(keyOf('jti', jti), now)) ||
        (grantId !== undefined && holdsKey(keyOf('grant', grantId), now)) ||
        (kid !== undefined && holdsKey(keyOf('kid', kid), now)) ||
        isBefore(keyOf('client', clientId)) ||
        isBefore(keyOf('subject', subject)) ||
        isBefore(keyOf('all', EVERYTHING))
      )
    },

    /** What matters here and is not, or not for as long, in another. */
    notIn(other: { knows(entry: RevocationEntry): boolean }): RevocationEntry[] {
      const now = clock()
      return [...entries.values()].filter((entry) => now < entry.until && !other.knows(entry))
    },

    knows({ kind, id, until, notAfter }: RevocationEntry): boolean {
      const entry = entries.get(keyOf(kind, id))
      return entry !== undefined && entry.until >= until && (entry.notAfter ?? 0) >= (notAfter ?? 0)
    },
  }
}
