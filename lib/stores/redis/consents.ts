import type { ConsentStore } from '../ports.ts'
import { toMilliseconds } from './family-record.ts'
import type { Keys } from './keys.ts'
import { linesOf, readLines } from './lines.ts'
import type { Runner } from './runner.ts'
import { script } from './script.ts'

const rememberConsent = script('remember-consent')
const readConsent = script('read-consent')
const forgetConsent = script('forget-consent')

/** The most clients of which one subject's consents are remembered; over that, the one that ends first is asked again. */
const MAX_CLIENTS = 500

/** Remembered consents in Redis, a hash for each subject, until the last of them ends. Absent: the user is asked. */
export function redisConsents({ run }: Runner, keys: Keys): ConsentStore {
  return {
    async remember(subject, clientId, consent, expiresAt) {
      await run(
        rememberConsent,
        [keys.consents(subject)],
        [keys.consentField(clientId), toMilliseconds(expiresAt), linesOf(consent), MAX_CLIENTS],
      )
    },
    async read(subject, clientId) {
      const { rest } = await run(readConsent, [keys.consents(subject)], [keys.consentField(clientId)])
      const text = rest[0]?.toString()
      return text === undefined ? undefined : readLines(text.slice(text.indexOf('\n')))
    },
    async forget(subject, clientId) {
      await run(forgetConsent, [keys.consents(subject)], [keys.consentField(clientId)])
    },
    async forgetSubject(subject) {
      await run(forgetConsent, [keys.consents(subject)], [''])
    },
  }
}
