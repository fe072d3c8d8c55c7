import { type DerivedKeys, mac, sameTag } from '../protocol/derived-keys.ts'
import { type TokenHash, tokenHash } from '../protocol/digest.ts'
import { GRANT_ID_BYTES, TAG_BYTES, tokenFormat } from './token-format.ts'

/**
 * A refresh token: `aat_rt_` + base64url( grant id 16 | generation u32 | lineage 16 | secret 16 | tag 16 ).
 *
 * The secret of generation g + 1 is an HMAC of the presented token of generation g. So any number of concurrent
 * refreshes, on any number of instances, compute the same successor, nobody stores it, and a lost reply is answered
 * again; whoever holds the store alone, or an old token alone, computes nothing.
 *
 * The lineage is random for each family and the same in all of its tokens; the store knows its hash. It proves descent
 * where the store has lost track of generations, so that not even the store and the configured secrets together make
 * a token of a family of which one has never seen any.
 */
export interface RefreshToken {
  readonly grantId: string
  readonly generation: number
  /** Which configured secret made it. */
  readonly keyId: string
  readonly text: string
  readonly hash: TokenHash
  /** Hash of what all tokens of the family share. */
  readonly lineage: TokenHash
  /** Lineage and secret: what the next token is derived from. Never leaves the process, as little as the text does. */
  readonly seed: Buffer
}

/** The lineage's half and the secret's. */
const HALF_BYTES = 16
const SECRET_BYTES = 2 * HALF_BYTES
const MAX_GENERATION = 0xffff_ffff
const format = tokenFormat('aat_rt_', GRANT_ID_BYTES + 4 + SECRET_BYTES + TAG_BYTES)

/** Reads and derives refresh tokens with the configured secrets, newest first. */
export function refreshTokens(keys: readonly [DerivedKeys, ...DerivedKeys[]]) {
  const [newest] = keys

  function make(
    key: DerivedKeys,
    grantId: Buffer,
    generation: number,
    secret: Buffer,
    lineage = lineageOf(secret),
  ): RefreshToken {
    const counter = uint32(generation)
    const text = format.write(grantId, counter, secret, tagOf(key, grantId, counter, secret))
    return {
      grantId: grantId.toString('base64url'),
      generation,
      keyId: key.id,
      text,
      hash: tokenHash(text),
      lineage,
      seed: secret,
    }
  }

  return {
    /** Generation 0, derived from the secret of the code that opens the family. */
    first(grantId: string, codeSecret: Buffer): RefreshToken {
      const id = Buffer.from(grantId, 'base64url')
      const lineage = mac(newest.succession, 'line', id, codeSecret).subarray(0, HALF_BYTES)
      const secret = mac(newest.succession, 'first', id, codeSecret).subarray(0, HALF_BYTES)
      return make(newest, id, 0, Buffer.concat([lineage, secret]))
    },

    /** A well-formed token with a valid tag, or `undefined`; a forgery costs one HMAC for each secret. */
    read(text: string): RefreshToken | undefined {
      const bytes = format.read(text)
      if (bytes === undefined) return undefined
      const { grantId, counter, secret, tag } = split(bytes)
      for (const key of keys) {
        if (sameTag(tag, tagOf(key, grantId, counter, secret))) {
          return {
            grantId: grantId.toString('base64url'),
            generation: counter.readUInt32BE(),
            keyId: key.id,
            text,
            hash: tokenHash(text),
            lineage: lineageOf(secret),
            seed: secret,
          }
        }
      }
      return undefined
    },

    /**
     * The token after this one.
     * @param keyId the secret to derive with; default the newest. A retry names the one that the rotation used.
     * @returns `undefined` where this instance does not have that secret.
     */
    successor(token: RefreshToken, keyId: string = newest.id): RefreshToken | undefined {
      const key = keys.find(({ id }) => id === keyId)
      if (key === undefined || token.generation >= MAX_GENERATION) return undefined
      const grantId = Buffer.from(token.grantId, 'base64url')
      const secret = token.seed
      const generation = token.generation + 1
      const next = mac(key.succession, 'succ', grantId, uint32(generation), secret).subarray(0, HALF_BYTES)
      return make(
        key,
        grantId,
        generation,
        Buffer.concat([secret.subarray(0, HALF_BYTES), next]),
        token.lineage,
      )
    },
  }
}

export type RefreshTokens = ReturnType<typeof refreshTokens>

function tagOf(key: DerivedKeys, grantId: Buffer, counter: Buffer, secret: Buffer): Buffer {
  return mac(key.tag, 'tag', grantId, counter, secret).subarray(0, TAG_BYTES)
}

function lineageOf(secret: Buffer): TokenHash {
  return tokenHash(secret.subarray(0, HALF_BYTES))
}

function uint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function split(bytes: Buffer) {
  const secretAt = GRANT_ID_BYTES + 4
  const tagAt = secretAt + SECRET_BYTES
  return {
    grantId: bytes.subarray(0, GRANT_ID_BYTES),
    counter: bytes.subarray(GRANT_ID_BYTES, secretAt),
    secret: bytes.subarray(secretAt, tagAt),
    tag: bytes.subarray(tagAt),
  }
}
