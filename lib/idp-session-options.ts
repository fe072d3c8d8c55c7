import type { CheckIdpSession } from './authorization/idp-session-check.ts'
import { callback, oneOf, optional, optionalObject, whole } from './protocol/options.ts'

/** Sessions at the identity provider, for refresh tokens that are bound to one. */
export interface IdpSessionOptions {
  /** Asked before a refresh: does this session still live? `false` ends the session, and all that is bound to it. */
  checkIdpSession?: CheckIdpSession | undefined
  /** Milliseconds that it may take (default 2,000; 10 to 30,000). */
  checkTimeout?: number | undefined
  /**
   * What becomes of a refresh where it gives no answer in time or throws: 503, and the client tries again (`unavailable`,
   * default), or it goes on by what is known of the session's end (`go-on`).
   */
  whenUnanswered?: 'unavailable' | 'go-on' | undefined
  /**
   * Seconds: a session whose end is further away counts as ending then, unless it is prolonged (default 2,592,000 = 30 days,
   * at most 400 days). What is said of a session is remembered by every instance for so long.
   */
  longest?: number | undefined
}

const DAY = 86_400

/** The `idpSessions` option. */
export const idpSessionsOption = optionalObject({
  checkIdpSession: optional(callback<CheckIdpSession>()),
  checkTimeout: optional(whole('milliseconds', 10, 30_000), 2000),
  whenUnanswered: optional(oneOf('unavailable', 'go-on'), 'unavailable'),
  longest: optional(whole('seconds', 60, 400 * DAY), 30 * DAY),
})
