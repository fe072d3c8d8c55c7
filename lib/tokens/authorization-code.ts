import { type DerivedKeys, mac, sameTag } from '../protocol/derived-keys.ts'
import { type Sha256, sha256 } from '../protocol/digest.ts'
import type { Random } from '../protocol/random.ts'
import { GRANT_ID_BYTES, TAG_BYTES, tokenFormat } from './token-format.ts'

/** An authorization code: `aat_ac_` + base64url( grant id 16 | secret 32 | tag 16 ). It carries the id of the grant that it opens. */
export interface AuthorizationCode {
  readonly grantId: string
  readonly text: string
  readonly hash: Sha256
  /** The seed of the family's first refresh token: the same redemption run twice derives the same token. */
  readonly secret: Buffer
}

const SECRET_BYTES = 32
const format = tokenFormat('aat_ac_', GRANT_ID_BYTES + SECRET_BYTES + TAG_BYTES)

/** Makes and reads codes with the configured secrets, newest first. */
export function authorizationCodes(keys: readonly [DerivedKeys, ...DerivedKeys[]], random: Random) {
  return {
    /** A new code for a new grant. */
    create(): AuthorizationCode {
      const grantId = random(GRANT_ID_BYTES)
      const secret = random(SECRET_BYTES)
      const text = format.write(Buffer.concat([grantId, secret, tagOf(keys[0], grantId, secret)]))
      return { grantId: grantId.toString('base64url'), text, hash: sha256(text), secret }
    },

    /** A well-formed code with a valid tag, or `undefined`. */
    read(text: string): AuthorizationCode | undefined {
      const bytes = format.read(text)
      if (bytes === undefined) return undefined
      const grantId = bytes.subarray(0, GRANT_ID_BYTES)
      const secret = bytes.subarray(GRANT_ID_BYTES, GRANT_ID_BYTES + SECRET_BYTES)
      const tag = bytes.subarray(GRANT_ID_BYTES + SECRET_BYTES)
      if (!keys.some((key) => sameTag(tag, tagOf(key, grantId, secret)))) return undefined
      return { grantId: grantId.toString('base64url'), text, hash: sha256(text), secret }
    },
  }
}

export type AuthorizationCodes = ReturnType<typeof authorizationCodes>

function tagOf(key: DerivedKeys, grantId: Buffer, secret: Buffer): Buffer {
  return mac(key.tag, 'code', grantId, secret).subarray(0, TAG_BYTES)
}
