import type { TokenHash } from '../protocol/digest.ts'
import type { NumericDate } from '../protocol/time.ts'

/** What is known of access tokens beside what they say themselves: opaque ones whole, of limited ones their uses. */
export interface AccessTokenStore {
  /** Keeps the claims (JSON) of an opaque token under its hash; there while now < expiresAt. */
  save(hash: TokenHash, claims: string, expiresAt: NumericDate): Promise<void>
  read(hash: TokenHash): Promise<string | undefined>
  /** Deleting what is not there is deleting it, too. */
  delete(hash: TokenHash): Promise<void>
  /**
   * Counts a use of a token that may be used `atMost` times until the given time: of any number of uses so many are `used`.
   * @param key a hash of its `jti`
   */
  use(key: TokenHash, atMost: number, until: NumericDate): Promise<'used' | 'exhausted'>
  /** How often it was used; changes nothing. */
  uses(key: TokenHash): Promise<number>
}
