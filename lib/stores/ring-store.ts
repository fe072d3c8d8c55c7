import type { SigningAlgorithm } from '../protocol/jwa.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { Place } from './revocation-store.ts'

export interface SealedKey {
  /** Which secret wraps the data key. */
  readonly secretId: string
  /** iv 12 | ciphertext 32 | tag 16 of the data key, base64url. */
  readonly wrappedKey: string
  /** iv 12 | ciphertext | tag 16 of the private key (PKCS#8 DER), base64url. */
  readonly ciphertext: string
}

export interface KeyRecord {
  /** RFC 7638 thumbprint. */
  readonly kid: string
  readonly alg: SigningAlgorithm
  readonly publicJwk: Record<string, string>
  readonly createdAt: NumericDate
  readonly activatesAt: NumericDate
  readonly signsUntil: NumericDate
  readonly removedAt: NumericDate
  /** Absent once the key no longer signs. */
  readonly sealed?: SealedKey
  /** A revoked key stays as a tombstone until `removedAt`, so that no instance brings it back. */
  readonly revokedAt?: NumericDate
  /** HMAC over all of the above but the sealed key: whoever can write to the store cannot inject or change a record. */
  readonly proof: { readonly secretId: string; readonly tag: string }
}

export interface RingState extends Place {
  /** Whose ring it is; absent where there is none yet. */
  readonly issuer: string | undefined
  readonly keys: readonly KeyRecord[]
}

export interface RingStore {
  /** @param known answer `unchanged` where that is still the ring */
  read(known?: Place): Promise<RingState | 'unchanged'>
  /** Replaces the ring where it is still the expected one. */
  compareAndSet(
    expected: Place,
    next: { readonly issuer: string; readonly keys: readonly KeyRecord[] },
  ): Promise<{ readonly outcome: 'written'; readonly place: Place } | { readonly outcome: 'conflict' }>
}
