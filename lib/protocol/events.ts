import { callListener } from './hooks.ts'
import type { NumericDate } from './time.ts'

/** What every event carries. */
interface Common {
  /** When, by the injected clock. */
  readonly time: NumericDate
}

interface About {
  readonly clientId: string
  readonly subject?: string
  readonly grantId?: string
}

/**
 * What an auditor wants to know, by name. No event ever carries a secret: no token, code, verifier, client secret or
 * private key, nor a hash of one.
 */
export interface AatEvents {
  /** A user (or remembered consent, or a first-party rule) granted an authorization. */
  'authorization.granted': About & {
    scope: string
    resources: readonly string[]
    by: 'user' | 'remembered' | 'first-party'
  }
  /** The user said no. */
  'authorization.denied': About
  /** An authorization code was used a second time: its grant is ended. */
  'code.reused': About
  /** A code was presented with a wrong PKCE verifier and burnt. */
  'code.burnt': About
  /** An access token was minted (for every grant type). */
  'token.issued': About & {
    grantType: string
    jti: string
    scope: string
    resource: string
    expiresAt: NumericDate
  }
  /** A refresh token was used; `generation` is the returned token's. */
  'token.refreshed': About & { generation: number; issuance: string }
  /** The immediate predecessor came again within the grace window and got the same successor. */
  'token.retried': About & { generation: number }
  /** A spent refresh token came again: its family is ended (RFC 9700 §4.14.2). */
  'refresh_token.reused': About
  /** The store had lost acknowledged rotations and adopted the newer token. */
  'refresh_token.fast_forwarded': About & { generation: number }
  /** A client presented a code or token of another client. */
  'token.foreign': About & { owner: string }
  /** Something was revoked: a token, a grant, a client, a subject, or a signing key. */
  'revocation.recorded': {
    kind: 'jti' | 'grant' | 'client' | 'subject' | 'all' | 'kid' | 'session' | 'idp-subject' | 'uses'
    id: string
    by: string
  }
  /** A session at an identity provider was ended, or all of a user there; `by` says who said so. */
  'idp_session.ended': { issuer: string; by: string }
  /** A session at an identity provider ends at another time than was said. */
  'idp_session.updated': { issuer: string; expiresAt: NumericDate }
  /** No refresh token was issued, since nobody said when the session at the identity provider ends that is to bound it. */
  'refresh_token.withheld': About & { reason: 'idp_session_end_unknown' }
  /** The app's `checkIdpSession` gave no answer in time, or failed; `went` says what became of the refresh. */
  'idp_session.unanswered': About & { went: 'unavailable' | 'on'; error: unknown }
  /** `by` says which door let it in; `initialAccessToken` is the id of the token it came with. */
  'client.registered': {
    clientId: string
    clientName?: string
    redirectUris: readonly string[]
    policy: string
    by: 'anyone' | 'app' | 'initial-access-token' | 'access-token'
    initialAccessToken?: string
  }
  /** The app made a token that lets its holder register clients. */
  'initial_access_token.created': { id: string; policy: string; uses: number; expiresAt: NumericDate }
  'initial_access_token.revoked': { id: string }
  /** A client that its id describes has a record from now on: at its first use, or back after it was forgotten. */
  'client.stored': { clientId: string }
  /** A client changed what it registered (RFC 7592). */
  'client.updated': { clientId: string; redirectUris: readonly string[] }
  'client.secret_rotated': { clientId: string; by: 'app' | 'client' }
  'client.disabled': { clientId: string }
  'client.enabled': { clientId: string }
  'client.deleted': { clientId: string }
  /** A client's metadata document, or the JWK Set at its `jwks_uri`, was fetched. */
  'client.document_fetched': { url: string; kind: 'metadata' | 'jwks' }
  /** What is there, or where it is, is wrong: the client cannot use it until that is mended. */
  'client.document_refused': { url: string; kind: 'metadata' | 'jwks'; reason: string }
  /** Its host gave no good answer, or `trust` none in time; `went` says whether an older copy is used meanwhile. */
  'client.document_unavailable': {
    url: string
    kind: 'metadata' | 'jwks'
    reason: string
    went: 'unavailable' | 'on'
  }
  'client.authentication_failed': { clientId: string | undefined; reason: string }
  /** A DPoP proof was refused: a replay, for another address, badly signed. A missing or old nonce is none of these. */
  'dpop_proof.refused': { at: 'token' | 'resource'; clientId: string | undefined; reason: string }
  'registration.refused': { reason: string }
  'key.created': { kid: string; alg: string; activatesAt: NumericDate }
  'key.activated': { kid: string; alg: string }
  'key.removed': { kid: string }
  'key.revoked': { kid: string }
  /** The ring in the store had lost keys or could not be read; it was repaired, or says what is wrong. */
  'ring.repaired': { added: readonly string[] }
  'ring.unusable': { reason: string }
  /** The revocation log in the store had lost entries (a failover, a restored backup); those known here were written again. */
  'revocation.rolled_back': { from: number; to: number; added: number }
  /** The revocation log could not be read: revocations of other instances are not known here. */
  'revocation.unavailable': { reason: string }
  /** The store is not as it must be, or deserves a look: one event for each thing that is said anew. */
  'store.finding': { severity: 'unusable' | 'advice'; message: string }
  /** Something in the configuration of the app around us deserves a look. */
  'configuration.warning': { message: string }
  /** A fault of ours (or of a hook or a store): what the client saw as `server_error` or 503. */
  fault: { where: string; reference: string; error: unknown }
}

export type AatEventName = keyof AatEvents
export type AatEvent<N extends AatEventName = AatEventName> = {
  [K in N]: { readonly name: K } & Common & Readonly<AatEvents[K]>
}[N]
export type AatListener<N extends AatEventName = AatEventName> = (event: AatEvent<N>) => void

/** Tells the listeners; false where there was none. */
export type Emit = <N extends AatEventName>(name: N, detail: AatEvents[N]) => boolean

/** Something in the app around us deserves a look: told as an event and, where nobody listens, all the same. */
export function warnOfConfiguration(emit: Emit, message: string): void {
  emit('configuration.warning', { message })
  process.emitWarning(`express-aat: ${message}`)
}

/** A hub of listeners; one that throws, or whose promise is rejected, disturbs neither the request nor the others. */
export function createEventHub(clock: () => NumericDate) {
  const listeners = new Map<AatEventName | '*', Set<AatListener>>()

  const emit: Emit = (name, detail) => {
    const [own, all] = [listeners.get(name), listeners.get('*')]
    if (!own?.size && !all?.size) return false
    const audience = [...(own ?? []), ...(all ?? [])]
    const event: Record<string, unknown> = { name, time: clock(), ...detail }
    // Lists are copies: they may be those of a record, which nothing that a listener does may change.
    for (const [key, value] of Object.entries(event)) if (Array.isArray(value)) event[key] = [...value]
    Object.freeze(event)
    for (const listener of audience)
      callListener(`a listener of ${name}`, () => listener(event as unknown as AatEvent))
    return true
  }

  function on(name: AatEventName | '*', listener: AatListener): () => void {
    if (typeof name !== 'string' || typeof listener !== 'function')
      throw new TypeError('on: the arguments must be the name of an event and a function')
    const set = listeners.get(name) ?? new Set()
    listeners.set(name, set.add(listener))
    return () => void set.delete(listener)
  }

  return { emit, on }
}
