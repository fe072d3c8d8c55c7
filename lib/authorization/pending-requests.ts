import { type DerivedKeys, mac, sameTag } from '../protocol/derived-keys.ts'
import { sameHash, sha256 } from '../protocol/digest.ts'
import { type Random, randomId } from '../protocol/random.ts'
import type { Clock } from '../protocol/time.ts'
import type { PendingRequest, RequestStore } from '../stores/ports.ts'

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

    /** Keeps a request and returns its handle. */
    async start(request: Omit<PendingRequest, 'browser'>, browser: string): Promise<string> {
      const handle = randomId(random, 24)
      await store.save(sha256(handle), { ...request, browser: sha256(browser) }, clock() + lifetime)
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
