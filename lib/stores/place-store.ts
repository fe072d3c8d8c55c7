import type { Sha256 } from '../protocol/digest.ts'
import type { NumericDate } from '../protocol/time.ts'

/** Places of which there are only so many, each held until its end. */
export interface PlaceStore {
  /**
   * Takes one, or moves the end of the one that is held.
   * @param expiresAt absent: held until it is left
   * @param limit how many there are, by today's configuration
   */
  take(
    places: Sha256,
    holder: Sha256,
    expiresAt: NumericDate | undefined,
    limit: number,
  ): Promise<'taken' | 'full'>
  leave(places: Sha256, holder: Sha256): Promise<void>
}
