import { sha256, tokenHash } from '../protocol/digest.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { type Random, randomId } from '../protocol/random.ts'
import type { NumericDate } from '../protocol/time.ts'
import { REGISTERED_ID_PREFIX } from '../stores/client-description.ts'
import type { Client, ClientStore } from '../stores/ports.ts'
import type { ClientDraft } from './client-metadata.ts'
import { KEPT_UNUSED } from './client-registry.ts'
import { REGISTRATION_TOKEN_PREFIX, type SelfDescribingIds, usesSecret } from './self-describing-id.ts'
import { checkOpenRecord, type LimitUnused } from './unused-records.ts'

export interface Registered {
  readonly client: Client
  /** Shown this once. */
  readonly secret: string | undefined
  /** What manages the registration (RFC 7592); shown this once. */
  readonly registrationToken: string
}

export interface NewClientDetail {
  /** Anybody may register here: until the client is used, its id is all there is of it. */
  readonly isOpen: boolean
  /** Whom it comes from, where anybody may register. */
  readonly source?: string | undefined
  /** It has a record from the start, and so a place of those that its policy has. */
  readonly needsRecord: boolean
  readonly now: NumericDate
  readonly secretExpiresAt: NumericDate | undefined
}

export interface NewClientsOptions {
  readonly store: ClientStore
  readonly ids: SelfDescribingIds
  readonly limitUnused: LimitUnused
  readonly random: Random
}

/** Makes a draft into a client. @throws OAuthError where it cannot be kept */
export function createNewClients({ store, ids, limitUnused, random }: NewClientsOptions) {
  return async function newClient(
    draft: ClientDraft,
    { isOpen, source = '', needsRecord, now, secretExpiresAt }: NewClientDetail,
  ): Promise<Registered> {
    const issued = isOpen && !needsRecord ? ids.issue(draft, now, secretExpiresAt) : undefined
    if (issued !== undefined) return issued

    const secret = usesSecret(draft) ? randomId(random, 32) : undefined
    const registrationToken = REGISTRATION_TOKEN_PREFIX + randomId(random, 32)
    const stored: Client = {
      ...draft,
      id: REGISTERED_ID_PREFIX + randomId(random),
      origin: 'registered',
      secrets:
        secret === undefined
          ? []
          : [{ hash: sha256(secret), ...(secretExpiresAt !== undefined && { expiresAt: secretExpiresAt }) }],
      registrationTokens: [{ hash: tokenHash(registrationToken) }],
      createdAt: now,
    }
    if (isOpen) {
      checkOpenRecord(stored)
      await limitUnused(source)
    }
    const outcome = await store.create(stored, isOpen ? now + KEPT_UNUSED : undefined)
    if (outcome !== 'created')
      throw new OAuthError('temporarily_unavailable', 'no more clients can be registered at the moment', {
        cause: `client store: ${outcome}`,
        retryAfter: 60,
      })
    return { client: stored, secret, registrationToken }
  }
}

export type NewClient = ReturnType<typeof createNewClients>
