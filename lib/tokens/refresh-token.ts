import { type DerivedKeys, mac, sameTag } from '../protocol/derived-keys.ts'
import { type TokenHash, tokenHash } from '../protocol/digest.ts'
import { GRANT_ID_BYTES, TAG_BYTES, tokenFormat } from './token-format.ts'

/**
 * A refresh token: `aat_rt_` + base64url( grant id 16 | generation u32 | lineage 16 | secret 16 | tag 16 ).
 *
 * One HMAC of all but the tag yields both the tag of this token and, in its other half, the secret of the next one. So any
 * number of concurrent refreshes, on any number of instances, compute the same successor, nobody stores it, and a lost reply
 * is answered again; whoever holds the store alone, or an old token alone, computes nothing.
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
  /** All of its bytes but the tag. Never leaves the process, as little as the text does. */
  readonly body: Buffer
  /** The secret of the next one, as the configured secret that made this one derives it; kept as close. */
  readonly next: Buffer
}

const HALF_BYTES = 16
/** Where the parts of a token begin; the grant id at 0. */
const AT = {
  generation: GRANT_ID_BYTES,
  lineage: GRANT_ID_BYTES + 4,
  secret: GRANT_ID_BYTES + 4 + HALF_BYTES,
  tag: GRANT_ID_BYTES + 4 + 2 * HALF_BYTES,
}
const SIZE = AT.tag + TAG_BYTES
const MAX_GENERATION = 0xffff_ffff
const format = tokenFormat('aat_rt_', SIZE)

/** Reads and derives refresh tokens with the configured secrets, newest first. */
export function refreshTokens(keys: readonly [DerivedKeys, ...DerivedKeys[]]) {
  const [newest] = keys

  function make(
    key: DerivedKeys,
    grantId: string,
    generation: number,
    secrets: { readonly lineage: Buffer; readonly secret: Buffer },
    lineageHash = tokenHash(secrets.lineage),
  ): RefreshToken {
    const bytes = Buffer.allocUnsafe(SIZE)
    bytes.write(grantId, 'base64url')
    bytes.writeUInt32BE(generation, AT.generation)
    bytes.set(secrets.lineage, AT.lineage)
    bytes.set(secrets.secret, AT.secret)
    const body = bytes.subarray(0, AT.tag)
    const derived = derive(key, body)
    bytes.set(tagOf(derived), AT.tag)
    const text = format.write(bytes)
    return {
      grantId,
      generation,
      keyId: key.id,
      text,
      hash: tokenHash(text),
      lineage: lineageHash,
      body,
      next: nextOf(derived),
    }
  }

  return {
    /** Generation 0, derived from the secret of the code that opens the family. */
    first(grantId: string, codeSecret: Buffer): RefreshToken {
      const secrets = mac(newest.succession, 'first', Buffer.from(grantId, 'base64url'), codeSecret)
      const [lineage, secret] = [secrets.subarray(0, HALF_BYTES), secrets.subarray(HALF_BYTES)]
      return make(newest, grantId, 0, { lineage, secret })
    },

    /** A well-formed token with a valid tag, or `undefined`; a forgery costs one HMAC for each secret. */
    read(text: string): RefreshToken | undefined {
      const bytes = format.read(text)
      if (bytes === undefined) return undefined
      const [body, tag] = [bytes.subarray(0, AT.tag), bytes.subarray(AT.tag)]
      for (const key of keys) {
        const derived = derive(key, body)
        if (sameTag(tag, tagOf(derived))) {
          return {
            grantId: bytes.toString('base64url', 0, GRANT_ID_BYTES),
            generation: bytes.readUInt32BE(AT.generation),
            keyId: key.id,
            text,
            hash: tokenHash(text),
            lineage: tokenHash(lineageOf(bytes)),
            body,
            next: nextOf(derived),
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
      const secret = key.id === token.keyId ? token.next : nextOf(derive(key, token.body))
      return make(
        key,
        token.grantId,
        token.generation + 1,
        { lineage: lineageOf(token.body), secret },
        token.lineage,
      )
    },
  }
}

export type RefreshTokens = ReturnType<typeof refreshTokens>

/** What a configured secret makes of a token: 32 bytes. */
function derive(key: DerivedKeys, body: Buffer): Buffer {
  return mac(key.succession, 'token', body)
}

function tagOf(derived: Buffer): Buffer {
  return derived.subarray(0, TAG_BYTES)
}

function nextOf(derived: Buffer): Buffer {
  return derived.subarray(TAG_BYTES)
}

function lineageOf(bytes: Buffer): Buffer {
  return bytes.subarray(AT.lineage, AT.secret)
}
