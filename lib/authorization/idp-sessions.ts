import { isObject, jsonSize } from '../protocol/encoding.ts'
import type { Emit } from '../protocol/events.ts'
import {
  type IdpSession,
  type IdpSessionId,
  type IdpSubject,
  idpSessionKey,
  idpSubjectKey,
} from '../protocol/idp-session.ts'
import type { Clock, NumericDate } from '../protocol/time.ts'
import { idpSessionKeys } from '../revocation/known-revocations.ts'
import type { RevocationLog } from '../revocation/revocation-log.ts'
import { withEnd } from '../stores/family-limits.ts'
import type { Grant } from '../stores/ports.ts'

/** Seconds by which clocks of instances may differ at the most: an end that is dated later is a mistake. */
const MOST_AHEAD = 60
/** The most that a provider, a session or a user may be named by, in bytes of JSON. */
const MAX_NAME = 512

export interface IdpSessionsOptions {
  readonly revocations: RevocationLog
  readonly clock: Clock
  readonly emit: Emit
  /** Seconds: no session is believed to last longer from now. */
  readonly longest: number
}

/**
 * What was said of sessions at identity providers since they began. It is said once, in the revocation log, whatever the
 * number of families: access tokens name their session, families are judged at their next use.
 */
export function createIdpSessions({ revocations, clock, emit, longest }: IdpSessionsOptions) {
  return {
    /**
     * The session ends at another time than was said: earlier or later.
     * @throws TypeError for anything but a session and a time in seconds
     */
    async update(session: IdpSessionId & { readonly expiresAt: NumericDate }): Promise<void> {
      const { issuer, sid } = readSession('update', session)
      const now = clock()
      const endsAt = readEnd(session.expiresAt, now, longest)
      if (typeof endsAt !== 'number') throw new TypeError(`idpSessions.update: expiresAt ${endsAt.problem}`)
      const key = idpSessionKey({ issuer, sid })
      // What was said at another instance a moment ago may be another word than the last that is known here.
      await revocations.pull()
      const known = revocations.sessionEnd({ issuer, sid })
      if (known === 0 || known === endsAt) return
      await revocations.revoke('session', key, 'the app', { endsAt })
      emit('idp_session.updated', { issuer, expiresAt: endsAt })
    },

    /**
     * The session is over, or all of a user at the provider that began until `notAfter` (default now).
     * @throws TypeError for anything but a session or a user at a provider
     */
    async end(
      target: IdpSessionId | (IdpSubject & { readonly notAfter?: NumericDate | undefined }),
      by = 'the app',
    ): Promise<void> {
      if (isObject(target) && 'subject' in target && target.sid === undefined) {
        const { issuer, subject } = readSubject(target)
        const { notAfter } = target as { notAfter?: unknown }
        const isPast = Number.isFinite(notAfter) && (notAfter as number) <= clock() + MOST_AHEAD
        if (notAfter !== undefined && !isPast)
          throw new TypeError('idpSessions.end: notAfter must be a time in seconds that is not in the future')
        const key = idpSubjectKey({ issuer, subject })
        // Said before: a logout message that comes again adds nothing to the log.
        if (notAfter !== undefined && revocations.coversSession({ idpSubject: key }, notAfter as number))
          return
        const detail = notAfter === undefined ? {} : { notAfter: notAfter as number }
        await revocations.revoke('idp-subject', key, by, detail)
        emit('idp_session.ended', { issuer, by })
        return
      }
      const { issuer, sid } = readSession('end', target)
      if (revocations.sessionEnd({ issuer, sid }) === 0) return
      await revocations.revoke('session', idpSessionKey({ issuer, sid }), by)
      emit('idp_session.ended', { issuer, by })
    },

    /** The session with its end as it is known by now. From memory. */
    current(session: IdpSession): IdpSession {
      const end = revocations.sessionEnd(session)
      return end === undefined ? session : { ...session, expiresAt: end }
    },

    /** A grant with the end of its session as it is known by now. From memory. */
    currentGrant: (grant: Grant): Grant =>
      withEnd(grant, grant.idpSession && revocations.sessionEnd(grant.idpSession)),

    /** Was it ended since it began, or is it over by what is known? From memory. @param began when the user signed in */
    isOver(session: IdpSession, began: NumericDate): boolean {
      return (
        clock() >= (revocations.sessionEnd(session) ?? session.expiresAt ?? Number.POSITIVE_INFINITY) ||
        isEnded(session, began)
      )
    },

    /** Was it ended since it began? From memory. */
    isEnded,
  }

  function isEnded(session: IdpSession, began: NumericDate): boolean {
    return revocations.coversSession(idpSessionKeys(session), began)
  }
}

export type IdpSessions = ReturnType<typeof createIdpSessions>

/** The end of a session, at most `longest` from now; or what is wrong with it. */
export function readEnd(
  value: unknown,
  now: NumericDate,
  longest: number,
): NumericDate | { problem: string } {
  if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0)
    return { problem: 'must be seconds since the epoch (a Date: divide getTime() by 1000)' }
  // A year that no clock shows before 5138 is one in milliseconds.
  if (value > 1e11) return { problem: 'must be seconds since the epoch, not milliseconds: divide by 1000' }
  return Math.min(value, now + longest)
}

export function isIdpName(value: unknown): value is string {
  return (
    typeof value === 'string' && value !== '' && jsonSize(value) <= MAX_NAME && !/\p{Surrogate}/u.test(value)
  )
}

function readSession(verb: string, value: unknown): IdpSessionId {
  const { issuer, sid } = isObject(value) ? value : {}
  if (!isIdpName(issuer) || !isIdpName(sid))
    throw new TypeError(
      `idpSessions.${verb}: name a session by issuer and sid, or (to end) a user by issuer and subject`,
    )
  return { issuer, sid }
}

function readSubject({ issuer, subject }: Record<string, unknown>): IdpSubject {
  if (!isIdpName(issuer) || !isIdpName(subject))
    throw new TypeError('idpSessions.end: name a session by issuer and sid, or a user by issuer and subject')
  return { issuer, subject }
}
