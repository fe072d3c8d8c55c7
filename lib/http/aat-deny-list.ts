import type { NumericDate } from '../protocol/time.ts'

/** What may be denied: exactly one thing. */
export type DenyTarget =
  | {
      /** One access token by its `jti`. */
      readonly jti: string
      /**
       * How often it may be used in all, at all instances together, from now on (0 to 1,000,000): what is over that is refused.
       * It can be lowered later, not raised. Default 0: it is denied.
       */
      readonly maxUses?: number | undefined
    }
  | { /** Everything of one authorization: its refresh tokens and access tokens. */ readonly grantId: string }
  | { /** Everything that a client holds up to now. */ readonly clientId: string }
  | { /** Everything that a user granted to anybody up to now. */ readonly subject: string }

/** Something whose tokens are refused. */
export interface Denied {
  readonly type: 'token' | 'grant' | 'client' | 'subject' | 'everybody' | 'key' | 'idp_session' | 'idp_user'
  /** Of a token its `jti`, of a key its `kid`; of what an identity provider knows a hash. */
  readonly id: string
  /** What was granted or issued up to then is refused, in seconds; absent where all of it is. */
  readonly notAfter?: NumericDate
  /** A token that may still be used, so many times in all. */
  readonly maxUses?: number
  /** It leaves the list then, in seconds: nothing that it is about lives longer. */
  readonly expiresAt: NumericDate
}

/** Which page of the deny list. */
export interface DenyListQuery {
  /** Where the last page ended. */
  readonly cursor?: string | undefined
  /** The most entries (default 100, 1 to 1,000). */
  readonly limit?: number | undefined
}

/** A page of the deny list. */
export interface DenyListPage {
  readonly denied: readonly Denied[]
  /** Of the next page; absent on the last one. */
  readonly cursor: string | undefined
}

/** `aat.denyList`: what is refused although it has not expired. */
export interface DenyList {
  /**
   * Denies at once in this process, and on other instances within the revocation bound. Nothing takes it back.
   * @throws TypeError where not exactly one target is named, or for another number of uses
   */
  add(target: DenyTarget): Promise<void>
  /**
   * What is denied, after a look at the log in the store; in pages, in a stable order.
   * @throws RangeError for a cursor that no page gave, or another limit
   */
  list(query?: DenyListQuery): Promise<DenyListPage>
}
