import { type DerivedKeys, mac, sameTag } from '../protocol/derived-keys.ts'
import { sameHash, sha256 } from '../protocol/digest.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { type Random, randomId } from '../protocol/random.ts'
import type { Clock } from '../protocol/time.ts'
import type { PendingRequest, RequestStore } from '../stores/ports.ts'

/** Bytes of a request that waits, as JSON. */
const MAX_KEPT = 8192

export interface PendingRequestsOptions {
  readonly store: RequestStore
  readonly clock: Clock
  readonly random: Random
  readonly keys: readonly [DerivedKeys, ...DerivedKeys[]]
  /** Seconds that a user has for signing in and deciding. */
  readonly lifetime: number
}

/**
 * Requests that wait for their user, behind a single-use handle that works only in the browser that made the request:
 * that browser holds a cookie, the record its hash.
 */
export function createPendingRequests({ store, clock, random, keys, lifetime }: PendingRequestsOptions) {
  const isHandle = (text: string) => /^[A-Za-z0-9_-]{32}$/.test(text)
  const fieldOf = (key: DerivedKeys, handle: string, subject: string) =>
    mac(key.form, 'consent', handle, subject)

  async function read(handle: string, browser: string | undefined): Promise<PendingRequest | undefined> {
    if (!isHandle(handle) || browser === undefined) return undefined
    const request = await store.read(sha256(handle))
    return request !== undefined && sameHash(request.browser, sha256(browser)) ? request : undefined
  }

  return {
    /** A new secret for a browser that has none yet. */
    newBrowser: () => randomId(random, 32),

    /** Keeps a request and returns its handle. @throws OAuthError `invalid_request` for one that is too long */
    async start(request: Omit<PendingRequest, 'browser'>, browser: string): Promise<string> {
      const handle = randomId(random, 24)
      const kept = { ...request, browser: sha256(browser) }
      // Anybody can start one, and each is kept for minutes.
      if (Buffer.byteLength(JSON.stringify(kept)) > MAX_KEPT)
        throw new OAuthError('invalid_request', `the parameters have more than ${MAX_KEPT} bytes together`)
      await store.save(sha256(handle), kept, clock() + lifetime)
      return handle
    },

    read,

    /** Takes the request, once; another browser's attempt takes nothing. */
    async take(handle: string, browser: string | undefined): Promise<PendingRequest | undefined> {
      return (await read(handle, browser)) === undefined ? undefined : store.take(sha256(handle))
    },

    /** The field that ties a consent form to its request and to the user it was shown to. */
    formField: (handle: string, subject: string) => fieldOf(keys[0], handle, subject).toString('base64url'),

    isFormField: (field: string, handle: string, subject: string) =>
      keys.some((key) => sameTag(Buffer.from(field, 'base64url'), fieldOf(key, handle, subject))),
  }
}

export type PendingRequests = ReturnType<typeof createPendingRequests>
