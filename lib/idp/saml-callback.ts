import type { Request, Response } from 'express'
import { readEnd } from '../authorization/idp-sessions.ts'
import { readUser } from '../authorization/user.ts'
import type { AatParts } from '../http/aat.ts'
import { readFormBody } from '../http/body.ts'
import { redirect } from '../http/headers.ts'
import { sha256 } from '../protocol/digest.ts'
import { readForm } from '../protocol/form.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { ConfigurationError } from '../protocol/options.ts'
import { randomId } from '../protocol/random.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { AppSession, KeptSignIn, PendingSignIn } from './app-session.ts'
import { sendAgainPage } from './saml-again-page.ts'
import { sidOf } from './saml-logout.ts'
import type { SamlSettings } from './saml-options.ts'
import { type ReadAssertion, readAssertion, readOutline } from './saml-response.ts'
import { readPosted, type samlSignatures } from './saml-signature.ts'

/** Bytes of the form: the message as base64, and a little. */
export const MAX_FORM = 320 * 1024
/** Seconds: longer than any request is waited for, so an assertion that is forgotten answers none. */
const CLAIM_LIFE = 3600
/** Marks a form that was sent on by us, so that it is sent on once. */
const AGAIN = 'again'

/** What is kept of the user for the request that signs out at the provider. */
export type LogoutHint = ReadAssertion['nameId'] & { readonly sessionIndex: string | undefined }

/** The assertion consumer service (saml-profiles-2.0-os §4.1.4.3). */
export function samlCallback(
  parts: AatParts,
  settings: SamlSettings,
  appSession: AppSession,
  signatures: ReturnType<typeof samlSignatures>,
) {
  const { clock, random, stores, longestIdpSession } = parts
  const { callbackUrl, path, idp, clockTolerance } = settings

  return async function callback(req: Request, res: Response): Promise<void> {
    const form = readForm(await readFormBody(req, MAX_FORM))
    const message = readPosted(form.one('SAMLResponse') ?? '')
    const outline = readOutline(message.root)
    const pending = appSession.pending(req, outline.inResponseTo)
    // Of an app that signs in at two providers, neither answers what the other was asked.
    if (pending !== undefined && pending.secrets.idp !== idp.entityId)
      throw refuse('this sign-in began at another identity provider')
    if (pending === undefined) {
      if (form.one(AGAIN) !== undefined)
        throw refuse('this sign-in did not begin in this browser, was finished before, or took too long')
      appSession.leaveAlone(req)
      return sendAgainPage(req, res, `${path}/callback`, {
        SAMLResponse: message.base64,
        RelayState: form.one('RelayState'),
        [AGAIN]: 'yes',
      })
    }
    if (outline.destination !== undefined && outline.destination !== callbackUrl)
      throw refuse('the SAML response is for another destination')
    if (outline.refusal !== undefined)
      throw new OAuthError(
        'access_denied',
        `the identity provider did not sign the user in (${outline.refusal})`,
      )

    const assertion = await signatures.signedAssertion(message)
    const now = clock()
    const read = readAssertion(assertion, settings, pending.id, now)
    const user = await userOf(read, authTimeOf(read, pending, now), now)
    await appSession.takeNote(req, user.idpSession, now)

    // The last step that can refuse: of any number of copies, at any instance, one signs in.
    const key = sha256(JSON.stringify(['saml-assertion', idp.entityId, read.id]))
    if ((await stores.replays.claim(key, now + CLAIM_LIFE)) === 'seen')
      throw refuse('this SAML response was used before')
    if (appSession.take(req, pending.id) === undefined) throw refuse('this SAML response was used before')
    const hint: LogoutHint = { ...read.nameId, sessionIndex: read.profile.sessionIndex }
    await appSession.signIn(req, { user, logoutHint: JSON.stringify(hint) })
    redirect(res, pending.returnTo)
  }

  /** When the user authenticated. @throws OAuthError where credentials were asked for and the provider took old ones */
  function authTimeOf(read: ReadAssertion, { secrets, startedAt }: PendingSignIn, now: NumericDate): number {
    if (secrets.force === undefined) return Math.min(read.authnInstant, now)
    if (read.authnInstant + clockTolerance < Math.floor(startedAt))
      throw refuse('the identity provider did not ask for credentials again')
    // The provider's clock may be behind: what it was asked to do, it did after it was asked.
    return Math.min(Math.max(read.authnInstant, startedAt), now)
  }

  async function userOf(
    { profile, acr, sessionEnd }: ReadAssertion,
    authTime: NumericDate,
    now: NumericDate,
  ): Promise<KeptSignIn['user']> {
    if (settings.subject === undefined && profile.nameIdFormat?.endsWith(':nameid-format:transient'))
      throw mistake('the NameID is transient, another one at each sign-in: give the option subject')
    const displayName = await settings.displayName?.(profile)
    const expiresAt = sessionEnd ?? endByApp(await settings.sessionEnd?.(profile), now)
    const user = {
      subject: settings.subject === undefined ? profile.nameId : await settings.subject(profile),
      authTime,
      signedInAt: now,
      acr,
      displayName,
      idpSession: {
        issuer: idp.entityId,
        sid:
          profile.sessionIndex === undefined ? randomId(random) : sidOf(profile.nameId, profile.sessionIndex),
        subject: profile.nameId,
        expiresAt,
      },
    }
    return readUser(user, now, longestIdpSession) as KeptSignIn['user']
  }

  /** What the option `sessionEnd` said. */
  function endByApp(end: NumericDate | undefined, now: NumericDate): NumericDate | undefined {
    if (end === undefined) return undefined
    const read = readEnd(end, now, longestIdpSession)
    if (typeof read === 'object') throw mistake(`sessionEnd ${read.problem}`)
    if (read <= now) throw mistake('sessionEnd must not have passed: it is a time, not a duration')
    return read
  }
}

const refuse = (problem: string) => new OAuthError('invalid_request', problem)
const mistake = (problem: string) => new ConfigurationError('samlSignIn', [problem])
