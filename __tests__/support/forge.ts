import { constants, createHmac, type KeyObject, randomBytes, sign as signBytes } from 'node:crypto'
import type { Stores } from '../../lib/index.ts'
import { openRecord } from '../../lib/keys/sealing.ts'
import { deriveKeys } from '../../lib/protocol/derived-keys.ts'
import type { KeyRecord } from '../../lib/stores/ports.ts'
import { readRing } from './read-ring.ts'
import { CONFIDENTIAL, claimsOf, type World } from './world.ts'

/** The secret that `startWorld` configures. */
export const WORLD_SECRET = 'test-secret-0123456789-0123456789-0123456789'

/** What a payload or header may be: an object, or the exact text or bytes. */
export type Part = object | string | Buffer

const bytesOf = (part: Part): Buffer =>
  Buffer.isBuffer(part) ? part : Buffer.from(typeof part === 'string' ? part : JSON.stringify(part))

export const segment = (part: Part): string => bytesOf(part).toString('base64url')

/** Signs as any algorithm that a forger may think of; a Buffer as key makes an HMAC. */
export function signatureOf(alg: string, key: KeyObject | Buffer, input: string): Buffer {
  const hash = `sha${alg.slice(-3)}`
  const data = Buffer.from(input)
  if (Buffer.isBuffer(key)) return createHmac(hash, key).update(data).digest()
  if (alg.startsWith('PS'))
    return signBytes(hash, data, {
      key,
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
    })
  if (alg.startsWith('ES')) return signBytes(hash, data, { key, dsaEncoding: 'ieee-p1363' })
  return signBytes(alg === 'EdDSA' ? null : hash, data, key)
}

/** A compact JWS of any header and payload, signed as `alg`. */
export function forge(header: Part, payload: Part, alg: string, key: KeyObject | Buffer): string {
  const input = `${segment(header)}.${segment(payload)}`
  return `${input}.${signatureOf(alg, key, input).toString('base64url')}`
}

/** Every key of the ring in the store, with the private half where it is still there. */
export async function openRing(
  stores: Pick<Stores, 'ring'>,
  issuer: string,
  secrets: string[] = [WORLD_SECRET],
): Promise<{ record: KeyRecord; privateKey: KeyObject | undefined }[]> {
  const { keys } = await readRing(stores.ring)
  return keys.map((record) => {
    const opened = openRecord(record, issuer, secrets.map(deriveKeys))
    if (typeof opened === 'string') throw new Error(`the record of ${record.kid}: ${opened}`)
    return { record, privateKey: opened.privateKey }
  })
}

/**
 * Somebody who holds the ring's active private key: signs whatever the server never would.
 * @param stores the world's own
 */
export async function forgerOf(world: World, stores: Stores) {
  const active = world.aat.keys.status().keys.find(({ state }) => state === 'active')
  const found = (await openRing(stores, world.issuer)).find(({ record }) => record.kid === active?.kid)
  if (found?.privateKey === undefined) throw new Error('the ring has no active key')
  const { record, privateKey } = found
  const header = { alg: record.alg as string, typ: 'at+jwt', kid: record.kid }

  /** Claims that the guard of `/api/a` accepts; `undefined` leaves one out. */
  function claims(changes: Record<string, unknown> = {}): Record<string, unknown> {
    const now = Math.floor(world.clock())
    const all: Record<string, unknown> = {
      iss: world.issuer,
      sub: 'alice',
      aud: world.resource,
      client_id: CONFIDENTIAL.id,
      iat: now,
      exp: now + 300,
      jti: randomBytes(16).toString('base64url'),
      scope: 'a',
      ...changes,
    }
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
  }

  return {
    record,
    privateKey,
    header,
    claims,
    /** Rightly signed, with other claims. */
    withClaims: (changes: Record<string, unknown>) => forge(header, claims(changes), record.alg, privateKey),
    /** Rightly signed, with these bytes for a payload. */
    withPayload: (payload: Part) => forge(header, payload, record.alg, privateKey),
    /** Rightly signed, with another header. */
    withHeader: (changed: Part, payload: Part = claims()) => forge(changed, payload, record.alg, privateKey),
  }
}
export type Forger = Awaited<ReturnType<typeof forgerOf>>

/** A token with its parts at hand. */
export function partsOfToken(token: string): { header: string; payload: string; signature: Buffer } {
  const [header = '', payload = '', signature = ''] = token.split('.')
  return { header, payload, signature: Buffer.from(signature, 'base64url') }
}

/** The jti of a token. */
export const jtiOf = (token: string): string => String(claimsOf(token).jti)
