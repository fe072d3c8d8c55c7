import type { NumericDate } from '../protocol/time.ts'
import type { Client } from '../stores/ports.ts'

/** A client, without anything secret. Times are in seconds. */
export interface ClientSummary {
  readonly clientId: string
  readonly name: string | undefined
  readonly origin: Client['origin']
  readonly redirectUris: readonly string[]
  readonly grantTypes: readonly string[]
  readonly authenticationMethod: Client['authenticationMethod']
  /** Name of the registration policy; `undefined`: the default one, or none. */
  readonly policy: string | undefined
  readonly createdAt: NumericDate
  /** When a user first agreed to it or it first got a token; `undefined`: never yet, or it was not written down. */
  readonly firstUsedAt: NumericDate | undefined
  /** When it last became another than it registered as. */
  readonly changedAt: NumericDate | undefined
  readonly disabledAt: NumericDate | undefined
  /** When its newest secret ends; `undefined`: it has none, or for good. */
  readonly secretExpiresAt: NumericDate | undefined
}

/** Which clients to list. */
export interface ClientListQuery {
  /** Default 100, 1 to 1,000. */
  readonly limit?: number | undefined
  /** Where the last page ended. */
  readonly cursor?: string | undefined
  /** Default `registered`: those that have a record, so not those that nobody has used yet. */
  readonly origin?: 'registered' | 'configuration' | undefined
  /** A part of the id, the name, `client_uri`, `software_id` or a redirect URI; upper and lower case are one. */
  readonly search?: string | undefined
}

/** How a secret takes the place of another. */
export interface SecretRotation {
  /** Seconds for which older secrets stay good (default 0, at most 31,536,000 = a year). */
  readonly overlap?: number | undefined
  /** Seconds after which the new secret ends (default never). */
  readonly expiresIn?: number | undefined
  /**
   * Ends everything that the client holds, its users' authorizations included (default false). What it gets within the revocation
   * bound after it ends, too: another instance may have taken an old secret.
   */
  readonly revokeTokens?: boolean | undefined
}

/** `aat.clients`. What is done here holds at once in this process, and on other instances within the revocation bound. */
export interface ClientOperations {
  /** One client of any origin; `undefined` where there is none. */
  get(clientId: string): Promise<ClientSummary | undefined>
  /**
   * In pages, which may be short, or empty, and have a cursor all the same. A hint for people: a client that is used
   * meanwhile may come twice.
   * @throws TypeError for a cursor that no page gave, or another option
   */
  list(query?: ClientListQuery): Promise<{ clients: ClientSummary[]; cursor: string | undefined }>
  /**
   * Deletes a registered client for good and ends everything that it holds. Configured clients are deleted by the
   * configuration. Of a client by its metadata document there is nothing to delete: what it holds ends, and it may come again.
   */
  delete(clientId: string): Promise<'deleted' | 'unknown' | 'configured'>
  /**
   * Switches a client off that registered, or that its metadata document tells of: it is `invalid_client` from now on, and
   * everything that it holds ends.
   */
  disable(clientId: string): Promise<'disabled' | 'unknown' | 'configured'>
  /** Switches it on again: users' consents are remembered, what it held is not. */
  enable(clientId: string): Promise<'enabled' | 'unknown' | 'configured'>
  /**
   * Gives a registered client a new secret, which is shown this once.
   * @returns `no-secret`: it does not authenticate by one
   * @throws TypeError for wrong options
   */
  rotateSecret(
    clientId: string,
    options?: SecretRotation,
  ): Promise<
    | { clientSecret: string; clientSecretExpiresAt: NumericDate | undefined }
    | 'unknown'
    | 'configured'
    | 'no-secret'
  >
}
