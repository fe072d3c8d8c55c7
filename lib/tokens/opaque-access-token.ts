import { type DerivedKeys, mac, sameTag } from '../protocol/derived-keys.ts'
import { tokenHash } from '../protocol/digest.ts'
import type { Random } from '../protocol/random.ts'
import type { AccessTokenStore, TokenPlace } from '../stores/ports.ts'
import type { AatClaims } from './access-token.ts'
import { GRANT_ID_BYTES, TAG_BYTES, tokenFormat } from './token-format.ts'

/**
 * An opaque access token: `aat_at_` + base64url( home 16 | secret 32 | tag 16 ). It says nothing but which grant it is of; its claims lie
 * in the store under its hash, where in a cluster its grant lies: whoever could just open or refresh that can keep the token.
 * The tag tells a token of ours from anything else, so junk costs one HMAC and no store call.
 */
const OPAQUE_PREFIX = 'aat_at_'

const SECRET_BYTES = 32
const format = tokenFormat(OPAQUE_PREFIX, GRANT_ID_BYTES + SECRET_BYTES + TAG_BYTES)

/** Has a text the form of an opaque access token? Only who has the secrets can tell whether it is one. */
export const isOpaqueForm = (text: string): boolean =>
  text.startsWith(OPAQUE_PREFIX) && format.read(text) !== undefined

/** Issues and reads opaque access tokens with the configured secrets, newest first. */
export function opaqueAccessTokens(
  keys: readonly [DerivedKeys, ...DerivedKeys[]],
  random: Random,
  store: AccessTokenStore,
) {
  /** Where a well-formed token with a valid tag lies. */
  function read(text: string): TokenPlace | undefined {
    // What begins otherwise is most often a JWT, and needs no decoding here.
    const bytes = text.startsWith(OPAQUE_PREFIX) ? format.read(text) : undefined
    if (bytes === undefined) return undefined
    const home = bytes.subarray(0, GRANT_ID_BYTES)
    const secret = bytes.subarray(GRANT_ID_BYTES, GRANT_ID_BYTES + SECRET_BYTES)
    const tag = bytes.subarray(GRANT_ID_BYTES + SECRET_BYTES)
    if (!keys.some((key) => sameTag(tag, tagOf(key, home, secret)))) return undefined
    return { home: home.toString('base64url'), hash: tokenHash(text) }
  }

  return {
    /** Keeps the claims and returns the token that stands for them. @throws StoreUnavailable */
    async issue(claims: AatClaims & Record<string, unknown>): Promise<string> {
      const { grant_id: grantId } = claims
      const home = grantId === undefined ? random(GRANT_ID_BYTES) : Buffer.from(grantId, 'base64url')
      const secret = random(SECRET_BYTES)
      const text = format.write(Buffer.concat([home, secret, tagOf(keys[0], home, secret)]))
      const place = { home: home.toString('base64url'), hash: tokenHash(text) }
      await store.save(place, JSON.stringify(claims), claims.exp)
      return text
    },

    read,

    /** The claims (JSON) of a token that has not expired; one store call. @throws StoreUnavailable */
    async claimsOf(place: TokenPlace): Promise<Buffer | undefined> {
      const text = await store.read(place)
      return text === undefined ? undefined : Buffer.from(text)
    },

    /** Forgets a token that was revoked. */
    delete: (place: TokenPlace): Promise<void> => store.delete(place),
  }
}

export type OpaqueAccessTokens = ReturnType<typeof opaqueAccessTokens>

function tagOf(key: DerivedKeys, home: Buffer, secret: Buffer): Buffer {
  return mac(key.tag, 'access', home, secret).subarray(0, TAG_BYTES)
}
