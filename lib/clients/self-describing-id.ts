import { type DerivedKeys, mac, macText, sameTag } from '../protocol/derived-keys.ts'
import { sha256, tokenHash } from '../protocol/digest.ts'
import type { Random } from '../protocol/random.ts'
import type { NumericDate } from '../protocol/time.ts'
import { DESCRIPTION_TAG_BYTES, readDescription, writeDescription } from '../stores/client-description.ts'
import { readClient, writeClient } from '../stores/client-text.ts'
import { type Client, MAX_CLIENT_ID } from '../stores/ports.ts'
import type { ClientDraft } from './client-metadata.ts'

/**
 * Ids that describe their clients, so that a registration that nobody has used takes no memory. The tag of an id is an HMAC for
 * this issuer: nobody else can make one, and nothing in it can be exchanged. Secret and registration access token of such a client are derived from the id.
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

/** What a registration comes to. */
interface SelfDescribedRegistration {
  readonly id: string
  readonly client: Client
  readonly secret: string | undefined
  readonly registrationToken: string
}

/** Seconds. */
const BELIEVED_FOR = 2 * 365 * 86_400
/** Seconds over that end for which a mark is kept: clocks differ. */
const MARGIN = 86_400

export const usesSecret = (client: Pick<Client, 'authenticationMethod'>): boolean =>
  client.authenticationMethod === 'client_secret_basic' ||
  client.authenticationMethod === 'client_secret_post'

export function createSelfDescribingIds(
  keys: readonly [DerivedKeys, ...DerivedKeys[]],
  issuer: string,
  random: Random,
  /** Characters; a description that would be longer makes no id. */
  longest: number,
) {
  const [newest] = keys
  const idLabel = `id${sha256(issuer)}`
  const tagOf = (key: DerivedKeys, body: Uint8Array) =>
    mac(key.registration, idLabel, body).subarray(0, DESCRIPTION_TAG_BYTES)
  const secretOf = (key: DerivedKeys, id: string) => macText(key.registration, 'secret', id)
  const tokenOf = (key: DerivedKeys, id: string) =>
    REGISTRATION_TOKEN_PREFIX + macText(key.registration, 'token', id)

  /** The client whose id the key made, and what it is given. */
  function registered(
    key: DerivedKeys,
    id: string,
    createdAt: NumericDate,
    draft: ClientDraft,
    secretExpiresAt: NumericDate | undefined,
  ): SelfDescribedRegistration {
    const secret = usesSecret(draft) ? secretOf(key, id) : undefined
    const registrationToken = tokenOf(key, id)
    const client: Client = {
      ...draft,
      id,
      origin: 'registered',
      createdAt,
      secrets:
        secret === undefined
          ? []
          : [
              {
                hash: sha256(secret),
                ...(secretExpiresAt !== undefined && { expiresAt: secretExpiresAt }),
              },
            ],
      registrationTokens: [{ hash: tokenHash(registrationToken) }],
    }
    return { id, client, secret, registrationToken }
  }

  return {
    /** A client with an id and what it is given with it, or `undefined` where the description is too long for one. */
    issue(
      draft: ClientDraft,
      createdAt: NumericDate,
      secretExpiresAt: NumericDate | undefined,
    ): SelfDescribedRegistration | undefined {
      const told = writeClient(draft)
      const text = secretExpiresAt === undefined ? told : `${told}\n${secretExpiresAt}`
      const issuedAt = Math.floor(createdAt)
      const id = writeDescription(random, issuedAt, text, (body) => tagOf(newest, body))
      if (id.length > Math.min(longest, MAX_CLIENT_ID)) return undefined
      return registered(newest, id, issuedAt, draft, secretExpiresAt)
    },

    /** The client that an id of ours describes, however old; a forgery costs one HMAC for each secret. */
    read(id: string): SelfDescribed | undefined {
      const described = readDescription(id)
      const key =
        described && keys.find((candidate) => sameTag(described.tag, tagOf(candidate, described.body)))
      if (described === undefined || key === undefined) return undefined
      const createdAt = described.issuedAt
      const [text = '', secretExpiresAt] = described.text.split('\n')
      const end = secretExpiresAt === undefined ? undefined : Number(secretExpiresAt)
      const { client } = registered(key, id, createdAt, readClient(text), end)
      return { client, endsAt: createdAt + BELIEVED_FOR }
    },

    /** What may follow a registration access token of a client, by the newest secret first. */
    successors(id: string, token: string): [string, ...string[]] {
      const after = (key: DerivedKeys) =>
        REGISTRATION_TOKEN_PREFIX + macText(key.registration, 'next token', sha256(id), token)
      return [after(newest), ...keys.slice(1).map(after)]
    },

    /** Until when a mark must say that this id is not to be believed; `undefined` for ids that describe nothing. */
    markedUntil(id: string): NumericDate | undefined {
      const described = readDescription(id)
      return described && described.issuedAt + BELIEVED_FOR + MARGIN
    },
  }
}

export type SelfDescribingIds = ReturnType<typeof createSelfDescribingIds>

/** What registration access tokens begin with, for secret scanners. */
export const REGISTRATION_TOKEN_PREFIX = 'aat_reg_'
