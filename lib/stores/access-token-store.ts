import type { TokenHash } from '../protocol/digest.ts'
import type { NumericDate } from '../protocol/time.ts'

/** Where an opaque token lies. */
export interface TokenPlace {
  /** 16 bytes, base64url: the id of its grant, so that in a cluster it lies where its grant does; random where it has none. */
  readonly home: string
  readonly hash: TokenHash
}

/** What is known of access tokens beside what they say themselves: opaque ones whole, of limited ones their uses. */
export interface AccessTokenStore {
  /** Keeps the claims (JSON) of an opaque token; there while now < expiresAt. */
  save(place: TokenPlace, claims: string, expiresAt: NumericDate): Promise<void>
  read(place: TokenPlace): Promise<string | undefined>
  /** Deleting what is not there is deleting it, too. */
  delete(place: TokenPlace): Promise<void>
  /**
   * Counts a use of a token that may be used `atMost` times until the given time: of any number of uses so many are `used`.
   * @param key a hash of its `jti`
   */
  use(key: TokenHash, atMost: number, until: NumericDate): Promise<'used' | 'exhausted'>
  /** How often it was used; changes nothing. */
  uses(key: TokenHash): Promise<number>
}
