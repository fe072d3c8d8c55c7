import { createCipheriv, createDecipheriv, createPrivateKey, type KeyObject } from 'node:crypto'
import { type DerivedKeys, mac, sameTag } from '../protocol/derived-keys.ts'
import { decodeBase64url } from '../protocol/encoding.ts'
import type { Random } from '../protocol/random.ts'
import type { KeyRecord, SealedKey } from '../stores/ports.ts'

/** What a record says, before it is sealed and proven. */
export type BareRecord = Omit<KeyRecord, 'sealed' | 'proof'>

/**
 * Makes a record for a store that is not trusted. The private key is sealed with AES-256-GCM under a random data key,
 * which is wrapped by a key of the newest secret; the additional data, and the proof that stands beside it for as long
 * as the record does, bind issuer, kid, alg, times and public key. So whoever can write to the store can neither swap,
 * nor prolong, nor inject a key, private half or not.
 * @param privateKey absent once the key no longer signs
 */
export function sealRecord(
  bare: BareRecord,
  privateKey: KeyObject | undefined,
  issuer: string,
  key: DerivedKeys,
  random: Random,
): KeyRecord {
  const bound = boundTo(bare, issuer)
  const proof = { secretId: key.id, tag: mac(key.proof, 'ring', bound).toString('base64url') }
  if (privateKey === undefined) return { ...bare, proof }
  const dataKey = random(32)
  const der = privateKey.export({ format: 'der', type: 'pkcs8' })
  const sealed: SealedKey = {
    secretId: key.id,
    wrappedKey: encrypt(key.sealing, dataKey, bound, random),
    ciphertext: encrypt(dataKey, der, bound, random),
  }
  dataKey.fill(0)
  der.fill(0)
  return { ...bare, sealed, proof }
}

/** A record opened: its private key, or none where that is destroyed. */
export interface OpenedRecord {
  readonly privateKey: KeyObject | undefined
}

/** Opens a record, or says why not: no such secret here, or it is not what was written (perhaps no record at all). */
export function openRecord(
  record: KeyRecord,
  issuer: string,
  keys: readonly DerivedKeys[],
): OpenedRecord | 'no_secret' | 'tampered' {
  try {
    return openWellFormed(record, issuer, keys)
  } catch {
    return 'tampered'
  }
}

function openWellFormed(
  { sealed, proof, ...bare }: KeyRecord,
  issuer: string,
  keys: readonly DerivedKeys[],
): OpenedRecord | 'no_secret' | 'tampered' {
  if (typeof proof.secretId !== 'string' || typeof proof.tag !== 'string') return 'tampered'
  const bound = boundTo(bare, issuer)
  const prover = keys.find(({ id }) => id === proof.secretId)
  if (prover === undefined) return 'no_secret'
  if (!sameTag(mac(prover.proof, 'ring', bound), Buffer.from(proof.tag, 'base64url'))) return 'tampered'
  if (sealed === undefined) return { privateKey: undefined }
  // Both are always made with one secret.
  if (sealed.secretId !== proof.secretId) return 'tampered'
  const dataKey = decrypt(prover.sealing, sealed.wrappedKey, bound)
  const der = dataKey && decrypt(dataKey, sealed.ciphertext, bound)
  if (der === undefined) return 'tampered'
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  dataKey?.fill(0)
  der.fill(0)
  return { privateKey }
}

function boundTo(
  { kid, alg, createdAt, activatesAt, signsUntil, removedAt, revokedAt, publicJwk }: BareRecord,
  issuer: string,
): Buffer {
  const jwk = Object.entries(publicJwk).sort(([a], [b]) => (a < b ? -1 : 1))
  return Buffer.from(
    JSON.stringify([
      'express-aat/ring/1',
      issuer,
      kid,
      alg,
      createdAt,
      activatesAt,
      signsUntil,
      removedAt,
      revokedAt ?? null,
      jwk,
    ]),
  )
}

function encrypt(key: KeyObject | Buffer, plaintext: Buffer, bound: Buffer, random: Random): string {
  const iv = random(12)
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(bound)
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()])
  return Buffer.concat([iv, ciphertext, cipher.getAuthTag()]).toString('base64url')
}

function decrypt(key: KeyObject | Buffer, sealed: string, bound: Buffer): Buffer | undefined {
  const bytes = decodeBase64url(sealed)
  if (bytes === undefined || bytes.length < 28) return undefined
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12), {
      authTagLength: 16,
    }).setAAD(bound)
    decipher.setAuthTag(bytes.subarray(-16))
    return Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()])
  } catch {
    return undefined
  }
}
