import { hash, type KeyObject } from 'node:crypto'

/** Bytes of a block of SHA-256, and of a digest. */
const [BLOCK, DIGEST] = [64, 32]

/** The key in a block with each of the two pads; behind the outer one is room for the inner digest. */
interface Blocks {
  readonly inner: Buffer
  readonly outer: Buffer
}

/** Nothing that anybody could print holds the bytes of a key. */
const known = new WeakMap<KeyObject, Blocks>()

function blocksOf(key: KeyObject): Blocks {
  const before = known.get(key)
  if (before !== undefined) return before
  const bytes = key.export()
  if (bytes.length > BLOCK) throw new RangeError(`a key has at most ${BLOCK} bytes`)
  const [inner, outer] = [Buffer.alloc(BLOCK, 0x36), Buffer.alloc(BLOCK + DIGEST, 0x5c)]
  for (const [index, byte] of bytes.entries()) {
    inner[index] = byte ^ 0x36
    outer[index] = byte ^ 0x5c
  }
  bytes.fill(0)
  const blocks = { inner, outer }
  known.set(key, blocks)
  return blocks
}

/**
 * HMAC-SHA256 (RFC 2104), by two calls of `crypto.hash`. `createHmac` makes an object with native memory for each, whose
 * collection costs a server more than the digest: with three of them a refresh took a tenth more CPU.
 * @param key of at most 64 bytes
 */
export function hmac(key: KeyObject, parts: readonly (Uint8Array | string)[]): Buffer {
  // By way of a text: that is half the cost of a buffer of its own.
  return Buffer.from(hash('sha256', outerOf(key, parts), 'binary'), 'latin1')
}

/** The same in base64url. */
export function hmacText(key: KeyObject, parts: readonly (Uint8Array | string)[]): string {
  return hash('sha256', outerOf(key, parts), 'base64url')
}

/** What the outer hash is of, until the next call. */
function outerOf(key: KeyObject, parts: readonly (Uint8Array | string)[]): Buffer {
  const { inner, outer } = blocksOf(key)
  const pieces: Uint8Array[] = [inner]
  for (const part of parts) pieces.push(typeof part === 'string' ? Buffer.from(part) : part)
  const message = Buffer.concat(pieces)
  outer.write(hash('sha256', message, 'binary'), BLOCK, 'latin1')
  // It lies in the memory that all small buffers share: an app that takes their `buffer` for their bytes sends all of it.
  message.fill(0, 0, BLOCK)
  return outer
}
