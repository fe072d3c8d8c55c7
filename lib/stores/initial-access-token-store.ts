import type { Sha256 } from '../protocol/digest.ts'
import type { NumericDate } from '../protocol/time.ts'

/** The most initial access tokens that live at a time: operators make them, one for each partner or so. */
export const MAX_INITIAL_ACCESS_TOKENS = 10_000

/** A token that lets its holder register clients (RFC 7591 §1.2), as it rests in a store. */
export interface InitialAccessToken {
  /** 16 random bytes, base64url. */
  readonly id: string
  readonly hash: Sha256
  /** Name of the registration policy that its clients are judged by. */
  readonly policy: string
  /** What operators call it. */
  readonly label?: string
  /** How many registrations it is good for. */
  readonly uses: number
  readonly createdAt: NumericDate
  /** Valid while now < expiresAt; forgotten then. */
  readonly expiresAt: NumericDate
}

/** With how many of its uses are taken. */
export type InitialAccessTokenState = InitialAccessToken & { readonly used: number }

export interface InitialAccessTokenStore {
  create(token: InitialAccessToken): Promise<'created' | 'full'>
  read(id: string): Promise<InitialAccessTokenState | undefined>
  /**
   * Takes one use: of any number of takers as many succeed as there are uses.
   * @param taking names this taking, for `giveBack`; random
   */
  take(id: string, taking: string): Promise<'taken' | 'spent' | 'unknown'>
  /** Undoes a taking, within a minute after it; once. */
  giveBack(id: string, taking: string): Promise<'returned' | 'unknown'>
  revoke(id: string): Promise<'revoked' | 'unknown'>
  /**
   * In pages: those first that end first. One that is made meanwhile may be missing.
   * @throws TypeError for a cursor that no page gave
   */
  list(page: { readonly limit?: number | undefined; readonly cursor?: string | undefined }): Promise<{
    readonly tokens: readonly InitialAccessTokenState[]
    readonly cursor: string | undefined
  }>
}
