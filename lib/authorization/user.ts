import { isObject, jsonSize } from '../protocol/encoding.ts'
import type { IdpSession } from '../protocol/idp-session.ts'
import { ConfigurationError } from '../protocol/options.ts'
import type { NumericDate } from '../protocol/time.ts'
import { CLIENT_SUBJECT_PREFIX } from '../tokens/access-token.ts'
import { isIdpName, readEnd } from './idp-sessions.ts'

/** A user who is signed in to the app, completely (second factors included). What `resolveUser` returns. */
export interface SignedInUser {
  /** The user's stable id: the `sub` claim. Up to 255 bytes; never starts with `client:`. */
  readonly subject: string
  /** When the user authenticated, in seconds since the epoch. */
  readonly authTime: NumericDate
  /**
   * When the user came back from the identity provider, by the clock of this server (default `authTime`): where the provider
   * ends all sessions of a user, those that began after it live on.
   */
  readonly signedInAt?: NumericDate | undefined
  /** How strongly: an authentication context class (RFC 9470). */
  readonly acr?: string | undefined
  /** By which methods (RFC 8176), for example `['pwd', 'otp']`. */
  readonly amr?: readonly string[] | undefined
  /** The session at the identity provider where the user signed in, for refresh tokens that live as long as it. */
  readonly idpSession?: IdpSession | undefined
  /** Shown on the consent page: "signed in as". Never put into a token. */
  readonly displayName?: string | undefined
}

const mistake = (problem: string) => new ConfigurationError('resolveUser', [problem])

/**
 * Checks what the app's hook returned; only these members are read, so nothing else can leak into a token.
 * @param longestIdpSession seconds: a later end of the user's session at the identity provider is cut to this
 * @throws ConfigurationError for anything else: a fault of the app, never of the client
 */
export function readUser(
  value: unknown,
  now: NumericDate,
  longestIdpSession: number,
): SignedInUser | undefined {
  if (value === undefined || value === null || value === false) return undefined
  if (!isObject(value)) throw mistake('must return a user or undefined')
  const { subject, authTime, signedInAt, acr, amr, displayName, idpSession } = value
  if (typeof subject !== 'string' || subject === '' || jsonSize(subject) > 257)
    throw mistake('subject must be a string of 1 to 255 bytes')
  // Half a character is written as another text than it is compared by: a revocation of this subject would miss it.
  if (/\p{Surrogate}/u.test(subject)) throw mistake('subject must be well-formed Unicode')
  if (subject.startsWith(CLIENT_SUBJECT_PREFIX))
    throw mistake(`subject must not start with "${CLIENT_SUBJECT_PREFIX}"`)
  if (typeof authTime !== 'number' || !Number.isFinite(authTime) || authTime <= 0 || authTime > now + 60) {
    throw mistake(
      'authTime must be seconds since the epoch, not in the future (Date.now() is milliseconds: divide by 1000)',
    )
  }
  if (
    signedInAt !== undefined &&
    !(typeof signedInAt === 'number' && signedInAt > 0 && signedInAt <= now + 60)
  )
    throw mistake('signedInAt must be seconds since the epoch, not in the future, or left out')
  if (acr !== undefined && (typeof acr !== 'string' || acr === '' || jsonSize(acr) > 130))
    throw mistake('acr must be a string of at most 128 bytes')
  if (
    amr !== undefined &&
    !(Array.isArray(amr) && amr.every((method) => typeof method === 'string') && jsonSize(amr) <= 256)
  )
    throw mistake('amr must be an array of strings, of at most 256 bytes together')
  if (displayName !== undefined && typeof displayName !== 'string')
    throw mistake('displayName must be a string')
  return {
    subject,
    authTime,
    ...(signedInAt !== undefined && { signedInAt }),
    ...(acr !== undefined && { acr }),
    ...(amr !== undefined && { amr: amr as string[] }),
    ...(displayName !== undefined && { displayName }),
    ...(idpSession !== undefined && { idpSession: readIdpSession(idpSession, now, longestIdpSession) }),
  }
}

function readIdpSession(value: unknown, now: NumericDate, longest: number): IdpSession {
  if (!isObject(value)) throw mistake('idpSession must be an object with issuer and sid, or left out')
  const { issuer, sid, subject, expiresAt } = value
  if (!isIdpName(issuer) || !isIdpName(sid))
    throw mistake('idpSession.issuer and idpSession.sid must be strings of 1 to 510 bytes')
  if (subject !== undefined && !isIdpName(subject))
    throw mistake('idpSession.subject must be a string of 1 to 510 bytes, or left out')
  const end = expiresAt === undefined ? undefined : readEnd(expiresAt, now, longest)
  if (typeof end === 'object') throw mistake(`idpSession.expiresAt ${end.problem}, or left out`)
  return {
    issuer,
    sid,
    ...(subject !== undefined && { subject }),
    ...(end !== undefined && { expiresAt: end }),
  }
}
