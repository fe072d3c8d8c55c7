import { decodeBase64url } from '../protocol/encoding.ts'
import { MAX_CLIENT_ID } from './client-store.ts'

/**
 * The form of an id that describes its client: `dcr_` + base64url( version 1 | salt 8 | issued at u32 | text | tag 16 ). What is
 * read here is not proven: whoever believes it has to look at the tag, or has a record under that id.
 */
export interface ClientDescription {
  readonly issuedAt: number
  readonly text: string
  /** What the tag is about. */
  readonly body: Buffer
  readonly tag: Buffer
}

export const REGISTERED_ID_PREFIX = 'dcr_'
const VERSION = 1
const SALT_BYTES = 8
const HEAD = 1 + SALT_BYTES + 4
export const DESCRIPTION_TAG_BYTES = 16
const MIN_LENGTH = Math.ceil(((HEAD + 2 + DESCRIPTION_TAG_BYTES) * 4) / 3)
const shape = new RegExp(
  `^${REGISTERED_ID_PREFIX}(?:[A-Za-z0-9_-]{22}|[A-Za-z0-9_-]{${MIN_LENGTH},${MAX_CLIENT_ID - 4}})$`,
)

/** Can this be an id that registration gave? Nothing else ever reaches a store. */
export function isRegisteredId(id: string): boolean {
  return shape.test(id)
}

export function readDescription(id: string): ClientDescription | undefined {
  if (!isRegisteredId(id)) return undefined
  const bytes = decodeBase64url(id.slice(REGISTERED_ID_PREFIX.length))
  if (bytes === undefined || bytes.length <= HEAD + DESCRIPTION_TAG_BYTES || bytes[0] !== VERSION)
    return undefined
  const body = bytes.subarray(0, -DESCRIPTION_TAG_BYTES)
  return {
    issuedAt: body.readUInt32BE(1 + SALT_BYTES),
    text: body.toString('utf8', HEAD),
    body,
    tag: bytes.subarray(-DESCRIPTION_TAG_BYTES),
  }
}

export function writeDescription(
  salt: (size: number) => Buffer,
  issuedAt: number,
  text: string,
  tagOf: (body: Buffer) => Buffer,
): string {
  const end = HEAD + Buffer.byteLength(text)
  // Every byte of it is written below.
  const bytes = Buffer.allocUnsafe(end + DESCRIPTION_TAG_BYTES)
  bytes[0] = VERSION
  salt(SALT_BYTES).copy(bytes, 1)
  bytes.writeUInt32BE(issuedAt, 1 + SALT_BYTES)
  bytes.write(text, HEAD)
  tagOf(bytes.subarray(0, end)).copy(bytes, end)
  return REGISTERED_ID_PREFIX + bytes.toString('base64url')
}
