import { type DerivedKeys, mac, sameTag } from '../protocol/derived-keys.ts'
import { type TokenHash, tokenHash } from '../protocol/digest.ts'
import type { Random } from '../protocol/random.ts'
import type { AccessTokenStore } from '../stores/ports.ts'
import type { AatClaims } from './access-token.ts'
import { sealedTokenFormat, TAG_BYTES } from './sealed-token.ts'

/**
 * An opaque access token: `aat_at_` + base64url( secret 32 | tag 16 ). It says nothing; its claims lie in the store under
 * its hash. The tag tells a token of ours from anything else, so junk costs one HMAC and no store call.
 */
export const OPAQUE_PREFIX = 'aat_at_'

const SECRET_BYTES = 32
const format = sealedTokenFormat(OPAQUE_PREFIX, SECRET_BYTES + TAG_BYTES)

/** Has a text the form of an opaque access token? Only who has the secrets can tell whether it is one. */
export const isOpaqueForm = (text: string): boolean =>
  text.startsWith(OPAQUE_PREFIX) && format.read(text) !== undefined

/** Issues and reads opaque access tokens with the configured secrets, newest first. */
export function opaqueAccessTokens(
  keys: readonly [DerivedKeys, ...DerivedKeys[]],
  random: Random,
  store: AccessTokenStore,
) {
  /** The hash of a well-formed token with a valid tag. */
  function read(text: string): TokenHash | undefined {
    // What begins otherwise is most often a JWT, and needs no decoding here.
    const bytes = text.startsWith(OPAQUE_PREFIX) ? format.read(text) : undefined
    if (bytes === undefined) return undefined
    const secret = bytes.subarray(0, SECRET_BYTES)
    const tag = bytes.subarray(SECRET_BYTES)
    return keys.some((key) => sameTag(tag, tagOf(key, secret))) ? tokenHash(text) : undefined
  }

  return {
    /** Keeps the claims and returns the token that stands for them. @throws StoreUnavailable */
    async issue(claims: AatClaims & Record<string, unknown>): Promise<string> {
      const secret = random(SECRET_BYTES)
      const text = format.write(secret, tagOf(keys[0], secret))
      await store.save(tokenHash(text), JSON.stringify(claims), claims.exp)
      return text
    },

    read,

    /** The claims (JSON) of a token that has not expired; one store call. @throws StoreUnavailable */
    async claimsOf(hash: TokenHash): Promise<Buffer | undefined> {
      const text = await store.read(hash)
      return text === undefined ? undefined : Buffer.from(text)
    },

    /** Forgets a token that was revoked. */
    delete: (hash: TokenHash): Promise<void> => store.delete(hash),
  }
}

export type OpaqueAccessTokens = ReturnType<typeof opaqueAccessTokens>

function tagOf(key: DerivedKeys, secret: Buffer): Buffer {
  return mac(key.tag, 'access', secret).subarray(0, TAG_BYTES)
}
