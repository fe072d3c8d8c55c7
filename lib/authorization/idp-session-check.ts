import type { Emit } from '../protocol/events.ts'
import { type IdpSession, idpSessionKey } from '../protocol/idp-session.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { ConfigurationError } from '../protocol/options.ts'
import type { Grant } from '../stores/ports.ts'
import type { IdpSessions } from './idp-sessions.ts'

/** Whether a session at the identity provider still lives: what the app found out. */
export type CheckIdpSession = (
  session: IdpSession,
  context: {
    readonly clientId: string
    readonly subject: string
    /** Aborted when the time is up. */
    readonly signal: AbortSignal
  },
) => boolean | Promise<boolean>

export interface IdpSessionCheckOptions {
  readonly checkIdpSession: CheckIdpSession
  /** Milliseconds. */
  readonly checkTimeout: number
  readonly whenUnanswered: 'unavailable' | 'go-on'
  readonly idpSessions: IdpSessions
  readonly emit: Emit
}

/** What refreshes that come at once share. */
interface Question {
  readonly lives: Promise<boolean>
  /** Ends the session for all, once. */
  readonly end: () => Promise<void>
}

/**
 * Asks the app about the session of a grant, before a refresh commits. Refreshes of one session that come at once share a
 * question. A session that is over is ended for all.
 * @throws OAuthError 503 where there is no answer and the rule is not to go on
 */
export function createIdpSessionCheck(options: IdpSessionCheckOptions) {
  const { checkIdpSession, checkTimeout, whenUnanswered, idpSessions, emit } = options
  const asked = new Map<string, Question>()

  async function ask(session: IdpSession, { clientId, subject }: Grant): Promise<boolean> {
    const controller = new AbortController()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const error = new Error(`checkIdpSession did not answer within ${checkTimeout} ms`)
        reject(error)
        controller.abort(error)
      }, checkTimeout)
    })
    try {
      const { signal } = controller
      const lives = await Promise.race([checkIdpSession(session, { clientId, subject, signal }), late])
      if (typeof lives !== 'boolean')
        throw new ConfigurationError('checkIdpSession', ['must return true or false'])
      return lives
    } finally {
      clearTimeout(timer)
    }
  }

  return async function check(grant: Grant): Promise<'lives' | 'ended'> {
    if (grant.idpSession === undefined) return 'lives'
    // Nobody has to be asked what is known.
    if (idpSessions.isEnded(grant.idpSession, grant.sessionBegan ?? grant.createdAt)) return 'ended'
    const session = idpSessions.current(grant.idpSession)
    const key = idpSessionKey(session)
    let question = asked.get(key)
    if (question === undefined) {
      let ended: Promise<void> | undefined
      const end = () => {
        ended ??= idpSessions.end(session, 'checkIdpSession')
        return ended
      }
      question = { lives: ask(session, grant).finally(() => asked.delete(key)), end }
      asked.set(key, question)
    }
    let lives: boolean
    try {
      lives = await question.lives
    } catch (error) {
      const went = whenUnanswered === 'go-on' ? 'on' : 'unavailable'
      const { clientId, subject, id: grantId } = grant
      emit('idp_session.unanswered', { clientId, subject, grantId, went, error })
      if (went === 'on') return 'lives'
      throw new OAuthError(
        'temporarily_unavailable',
        'the identity provider cannot be asked about the session at the moment',
        { cause: error, retryAfter: 1 },
      )
    }
    if (lives) return 'lives'
    await question.end()
    return 'ended'
  }
}

export type IdpSessionCheck = ReturnType<typeof createIdpSessionCheck>
