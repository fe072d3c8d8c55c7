import type { Sha256, TokenHash } from '../../protocol/digest.ts'
import { decodeBase64url } from '../../protocol/encoding.ts'
import type { NumericDate } from '../../protocol/time.ts'
import { REGISTERED_ID_PREFIX } from '../client-description.ts'
import { withEnd } from '../family-limits.ts'
import type { EndReason, FamilyView, Grant } from '../ports.ts'

/**
 * How a family rests in Redis: one string, so that its size is the same however often it rotates, and one read and one write
 * are all that a refresh takes. Numbers are big-endian, times in milliseconds. `refresh.lua` writes all of it,
 * `redeem-code.lua` the first one, `end-grant.lua` and `redeem-code.lua` the flags.
 *
 * ```
 *  0 u8  version: 1, or 2 where it is bound          40 8   nonce of the last rotation
 *  1 u8  why it ended, 0 to 3; +4: the last         48 16  hash of the lineage
 *        rotation was a fast-forward                64 16  hash of the current token
 *  2 u32 generation                                 80 16  hash of the previous token
 *  6 u48 when it was opened                         96 u8  length of the id of the current token's secret
 * 12 u48 when its present period began              97     that id, in version 2 the key that the family is
 * 18 u48 when it was used last                             bound to (16), then the grant
 * 24 u48 when it is over
 * 30 u48 when it was rotated last
 * 36 u16 milliseconds that the previous token had left when it was used (65,535: or more)
 * 38 u16 retries of the previous token
 * ```
 */
const AT = {
  version: 0,
  flags: 1,
  generation: 2,
  openedAt: 6,
  periodStart: 12,
  lastUsedAt: 18,
  over: 24,
  lineage: 48,
  token: 64,
  keyIdLength: 96,
} as const

/** Of a hash, and how long it is in base64url. */
export const HASH_BYTES = 16
const HASH_LENGTH = 22

const endReasons: readonly (EndReason | undefined)[] = [undefined, 'revoked', 'reused', 'code_reused']

/** A record as it was read. */
export interface FamilyRecord {
  readonly view: FamilyView
  /** Id of the secret that derived the current token. */
  readonly keyId: string
  readonly isOver: (now: NumericDate) => boolean
}

/** @throws Error for a record that is none */
export function readFamilyRecord(grantId: string, record: Buffer): FamilyRecord {
  const keyIdAt = AT.keyIdLength + 1
  const keyIdEnd = keyIdAt + record.readUInt8(AT.keyIdLength)
  const isBound = record.readUInt8(AT.version) === 2
  const grantAt = keyIdEnd + (isBound ? HASH_BYTES : 0)
  const over = readTime(record, AT.over)
  const view: FamilyView = {
    grant: readGrant(grantId, record.subarray(grantAt)),
    generation: record.readUInt32BE(AT.generation),
    tokenHash: readHash(record, AT.token),
    lineage: readHash(record, AT.lineage),
    openedAt: readTime(record, AT.openedAt),
    periodStart: readTime(record, AT.periodStart),
    lastUsedAt: readTime(record, AT.lastUsedAt),
    ended: endReasons[record.readUInt8(AT.flags) % 4],
  }
  return {
    view: isBound ? { ...view, boundTo: readHash(record, keyIdEnd) } : view,
    keyId: record.toString('latin1', keyIdAt, keyIdEnd),
    isOver: (now) => now >= over,
  }
}

/** Stands before the end of a session at the identity provider, for scripts to read and write; JSON begins with another byte. */
const SESSION_END = Buffer.from('S')

/**
 * A grant: when it was given, when the user authenticated (u48 each), then client id (see `clientIdBytes`), subject, scope, resources (u16 length and
 * UTF-8 each, lists separated by spaces), then, where it came from a session at an identity provider, `S` and the end of that
 * (u48; 0: nobody says), then what few grants have, as JSON, or nothing.
 */
export function writeGrant({
  clientId,
  subject,
  scope,
  resources,
  createdAt,
  authTime,
  ...rest
}: Grant): Buffer {
  const { id: _id, idpSession, ...others } = rest
  const { expiresAt, ...session } = idpSession ?? {}
  const extra = { ...others, ...(idpSession !== undefined && { idpSession: session }) }
  const own = [subject, scope.join(' '), resources.join(' ')].map((text) => Buffer.from(text))
  const texts = [clientIdBytes(clientId), ...own].flatMap((bytes) => {
    const length = Buffer.alloc(2)
    length.writeUInt16BE(bytes.length)
    return [length, bytes]
  })
  const more = Object.keys(extra).length === 0 ? '' : JSON.stringify(extra)
  // One that was ended at this moment, 0, is over and not unknown.
  const known = expiresAt === undefined ? 0 : Math.max(expiresAt, 0.001)
  const end = idpSession === undefined ? [] : [SESSION_END, writeTime(known)]
  return Buffer.concat([writeTime(createdAt), writeTime(authTime), ...texts, ...end, Buffer.from(more)])
}

export function readGrant(id: string, bytes: Buffer): Grant {
  let at = 12
  const next = (read = readText) => {
    const from = at + 2
    at = from + bytes.readUInt16BE(at)
    return read(bytes, from, at)
  }
  const clientId = next(readClientId)
  const subject = next()
  const scope = next()
  const resources = next()
  let sessionEnd: NumericDate | undefined
  if (bytes[at] === SESSION_END[0]) {
    sessionEnd = readTime(bytes, at + 1) || undefined
    at += 7
  }
  const grant: Grant = {
    id,
    clientId,
    subject,
    scope: scope === '' ? [] : scope.split(' '),
    resources: resources.split(' '),
    createdAt: readTime(bytes, 0),
    authTime: readTime(bytes, 6),
  }
  if (at === bytes.length) return grant
  const extra: Pick<Grant, 'acr' | 'amr' | 'idpSession' | 'sessionBegan'> = JSON.parse(
    bytes.toString('utf8', at),
  )
  return withEnd({ ...grant, ...extra }, sessionEnd)
}

function readText(bytes: Buffer, from: number, to: number): string {
  return bytes.toString('utf8', from, to)
}

/** No text begins with this byte in UTF-8. */
const REGISTERED = Buffer.from([0xff])

/** A client's id as records have it: one that registration gave in bytes, since it may be long; any other as it is. */
export function clientIdBytes(id: string): Buffer {
  if (!id.startsWith(REGISTERED_ID_PREFIX)) return Buffer.from(id)
  const bytes = decodeBase64url(id.slice(REGISTERED_ID_PREFIX.length))
  return bytes === undefined ? Buffer.from(id) : Buffer.concat([REGISTERED, bytes])
}

function readClientId(bytes: Buffer, from: number, to: number): string {
  return bytes[from] === REGISTERED[0]
    ? REGISTERED_ID_PREFIX + bytes.toString('base64url', from + 1, to)
    : readText(bytes, from, to)
}

/** A hash as the record keeps it: 16 bytes. */
export function hashBytes(hash: Sha256): Buffer {
  return writeHash(Buffer.allocUnsafe(HASH_BYTES), 0, hash)
}

/** @throws TypeError where it has other than 16 bytes */
export function writeHash(into: Buffer, at: number, hash: Sha256): Buffer {
  if (hash.length !== HASH_LENGTH || into.write(hash, at, 'base64url') !== HASH_BYTES)
    throw new TypeError('a hash of 128 bits is needed here')
  return into
}

function readHash(record: Buffer, at: number): TokenHash {
  return record.toString('base64url', at, at + HASH_BYTES) as TokenHash
}

function readTime(bytes: Buffer, at: number): NumericDate {
  return bytes.readUIntBE(at, 6) / 1000
}

function writeTime(time: NumericDate): Buffer {
  const bytes = Buffer.alloc(6)
  bytes.writeUIntBE(toMilliseconds(time), 0, 6)
  return bytes
}

/** Times cross to Redis in whole milliseconds. */
export function toMilliseconds(seconds: number): number {
  return Math.round(seconds * 1000)
}
