import { type DerivedKeys, mac, sameTag } from '../protocol/derived-keys.ts'
import { sha256, tokenHash } from '../protocol/digest.ts'
import { decodeBase64url } from '../protocol/encoding.ts'
import type { Random } from '../protocol/random.ts'
import type { NumericDate } from '../protocol/time.ts'
import { readClient, writeClient } from '../stores/client-text.ts'
import { type Client, MAX_CLIENT_ID } from '../stores/ports.ts'

/**
 * Ids that describe their clients, so that a registration that nobody has used takes no memory: `dcr_` + base64url( version 1 |
 * salt 8 | issued at u32 | the client as JSON | tag 16 ). The tag is an HMAC for this issuer: nobody else can make one, and
 * nothing in it can be exchanged. Secret and registration access token of such a client are derived from the id.
 *
 * What an id says holds until the client is changed or deleted, of which the store keeps a mark, for as long as the id could
 * be believed: two years from when it was issued, or until the secret that sealed it is no longer configured. A client that
 * is used has a record, and that lives on.
 */
export interface SelfDescribed {
  readonly client: Client
  /** Not believed from then on, unless there is a record. */
  readonly endsAt: NumericDate
}

/** A client that names no policy has this one. */
const DEFAULT_POLICY = 'default'
export const REGISTERED_ID_PREFIX = 'dcr_'
const VERSION = 1
const HEAD = 1 + 8 + 4
const TAG = 16
/** Seconds. */
const BELIEVED_FOR = 2 * 365 * 86_400
/** Seconds over that end for which a mark is kept: clocks differ. */
const MARGIN = 86_400
const MIN_LENGTH = Math.ceil(((HEAD + 2 + TAG) * 4) / 3)
const shape = new RegExp(
  `^${REGISTERED_ID_PREFIX}(?:[A-Za-z0-9_-]{22}|[A-Za-z0-9_-]{${MIN_LENGTH},${MAX_CLIENT_ID - 4}})$`,
)

/** Can this be an id that registration gave? Nothing else ever reaches a store. */
export function isRegisteredId(id: string): boolean {
  return shape.test(id)
}

export const usesSecret = (client: Pick<Client, 'authenticationMethod'>): boolean =>
  client.authenticationMethod === 'client_secret_basic' ||
  client.authenticationMethod === 'client_secret_post'

export function createSelfDescribingIds(
  keys: readonly [DerivedKeys, ...DerivedKeys[]],
  issuer: string,
  random: Random,
) {
  const [newest] = keys
  const tagOf = (key: DerivedKeys, body: Uint8Array) =>
    mac(key.registration, 'id', sha256(issuer), body).subarray(0, TAG)
  const secretOf = (key: DerivedKeys, id: string) => mac(key.registration, 'secret', id).toString('base64url')
  const tokenOf = (key: DerivedKeys, id: string) =>
    REGISTRATION_TOKEN_PREFIX + mac(key.registration, 'token', id).toString('base64url')

  function bodyOf(id: string): Buffer | undefined {
    if (!isRegisteredId(id)) return undefined
    const bytes = decodeBase64url(id.slice(REGISTERED_ID_PREFIX.length))
    return bytes !== undefined && bytes.length > HEAD + TAG && bytes[0] === VERSION ? bytes : undefined
  }

  return {
    /**
     * The id of a client and what it is given with it, or `undefined` where the description is too long for one.
     * @param draft without id, secrets and times
     */
    issue(
      draft: Partial<Client>,
      createdAt: NumericDate,
      secretExpiresAt: NumericDate | undefined,
    ): { id: string; secret: string | undefined; registrationToken: string } | undefined {
      const head = Buffer.alloc(HEAD)
      head[0] = VERSION
      random(8).copy(head, 1)
      head.writeUInt32BE(Math.floor(createdAt), 9)
      const { policy, ...rest } = draft
      const told = writeClient(policy === undefined || policy === DEFAULT_POLICY ? rest : draft)
      const description = [told, ...(secretExpiresAt === undefined ? [] : [secretExpiresAt])]
      const body = Buffer.concat([head, Buffer.from(description.join('\n'))])
      const id = REGISTERED_ID_PREFIX + Buffer.concat([body, tagOf(newest, body)]).toString('base64url')
      if (id.length > MAX_CLIENT_ID) return undefined
      const secret = usesSecret(draft as Client) ? secretOf(newest, id) : undefined
      return { id, secret, registrationToken: tokenOf(newest, id) }
    },

    /** The client that an id of ours describes, however old; a forgery costs one HMAC for each secret. */
    read(id: string): SelfDescribed | undefined {
      const bytes = bodyOf(id)
      if (bytes === undefined) return undefined
      const [body, tag] = [bytes.subarray(0, -TAG), bytes.subarray(-TAG)]
      const key = keys.find((candidate) => sameTag(tag, tagOf(candidate, body)))
      if (key === undefined) return undefined
      const createdAt = body.readUInt32BE(9)
      const [description = '', secretExpiresAt] = body.toString('utf8', HEAD).split('\n')
      const draft = readClient(description)
      const client: Client = {
        ...draft,
        id,
        createdAt,
        secrets: usesSecret(draft)
          ? [
              {
                hash: sha256(secretOf(key, id)),
                ...(secretExpiresAt !== undefined && { expiresAt: Number(secretExpiresAt) }),
              },
            ]
          : [],
        registrationTokens: [{ hash: tokenHash(tokenOf(key, id)) }],
      }
      return { client, endsAt: createdAt + BELIEVED_FOR }
    },

    /** Until when a mark must say that this id is not to be believed; `undefined` for ids that describe nothing. */
    markedUntil(id: string): NumericDate | undefined {
      const bytes = bodyOf(id)
      return bytes && bytes.readUInt32BE(9) + BELIEVED_FOR + MARGIN
    },
  }
}

export type SelfDescribingIds = ReturnType<typeof createSelfDescribingIds>

/** What registration access tokens begin with, for secret scanners. */
export const REGISTRATION_TOKEN_PREFIX = 'aat_reg_'
