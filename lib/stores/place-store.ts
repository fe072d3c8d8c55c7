import type { Sha256 } from '../protocol/digest.ts'
import type { NumericDate } from '../protocol/time.ts'

/** Places of which there are only so many, each held until its end. */
export interface PlaceStore {
  /**
   * Takes one, or prolongs the one that is held; never shortens it.
   * @param expiresAt absent: held until it is left
   * @param limit how many there are, by today's configuration; 0: only one that is held is prolonged
   */
  take(
    places: Sha256,
    holder: Sha256,
    expiresAt: NumericDate | undefined,
    limit: number,
  ): Promise<'taken' | 'full'>
  /** @param by when it ends at the latest; absent: now */
  leave(places: Sha256, holder: Sha256, by?: NumericDate): Promise<void>
}
